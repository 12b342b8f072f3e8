"""Digging is told by the pixels that it changes in the true world."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

import envs  # noqa: F401  (registers the worlds)
from training.imagination import edits
from training.imagination.config import Played
from training.imagination.edits import Pictures, changed, played, side
from training.imagination.play import begin_in_world
from worldsim.config import ConfigError


def test_a_picture_is_on_the_side_that_it_resembles() -> None:
    before, after = (np.full((8, 8, 3), value, np.uint8) for value in (0, 200))
    true, everywhere = Pictures(before, after, after), np.ones((8, 8), bool)
    assert side(before, true, everywhere) == -1
    assert side(after, true, everywhere) == 1
    assert side(np.full_like(before, 100), true, everywhere) == 0


def test_what_does_not_come_back_as_it_was_left_is_not_asked_for() -> None:
    before, after, back = (np.zeros((8, 8, 3), np.uint8) for _ in range(3))
    after[:4], back[:2] = 200, 200
    where = changed(Pictures(before, after, back))
    assert where[:2].all()
    assert not where[2:].any()


@pytest.mark.parametrize("deed", edits.DEEDS)
def test_a_true_world_remembers_what_was_done_to_it(deed: str) -> None:
    env = gymnasium.make("worldsim/Blocks-v0", disable_env_checker=True, size=64)
    config, seen = Played(checkpoint="", seeds=3), 0
    for seed in range(4):
        stage, _ = begin_in_world(env, config, seed)
        true = played(stage, "minecraft", deed)
        where = changed(true)
        if where.mean() < edits.FEWEST:
            continue
        seen += 1
        assert side(true.back, true, where) > 0.5
        stage, _ = begin_in_world(env, config, seed)
        assert side(played(stage, "minecraft", None).back, true, where) < -0.5
    env.close()
    assert seen


def test_a_world_without_tools_is_refused(tmp_path: object) -> None:
    with pytest.raises(ConfigError, match="a world to dig in"):
        edits.main.__wrapped__(["checkpoint=labmaze"])  # type: ignore[attr-defined]
