"""Plains and walls are bare; what stands somewhere is not, and neither is a light that falls off downwards."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

import envs  # noqa: F401  (registers the worlds)
from training.imagination.bare import bare, bare_shares

SIDE = 64
SKY, GROUND = (120, 170, 240), (200, 200, 200)


def _plain() -> np.ndarray:
    picture = np.empty((SIDE, SIDE, 3), np.uint8)
    picture[: SIDE // 3], picture[SIDE // 3 :] = SKY, GROUND
    return picture


def test_a_plain_under_a_sky_and_a_wall_are_bare() -> None:
    assert bare(_plain())
    assert bare(np.full((SIDE, SIDE, 3), 90, np.uint8))


@pytest.mark.parametrize("scale", [1, 2])
def test_what_stands_on_a_plain_is_seen_at_every_size(scale: int) -> None:
    picture = _plain()
    picture[10:50, 20:36] = (90, 60, 30)
    assert not bare(picture.repeat(scale, 0).repeat(scale, 1))


def test_a_world_is_hardly_ever_bare() -> None:
    env = gymnasium.make("worldsim/Blocks-v0", disable_env_checker=True, size=SIDE)
    shown = np.stack([env.reset(seed=seed)[0]["pov"] for seed in range(12)])
    env.close()
    assert bare(shown).mean() < 0.25


def test_shares_are_of_stretches_of_walks() -> None:
    walks = np.stack([[_plain()] * 4, [*[_plain()] * 2, *[_confetti()] * 2]])
    found = bare_shares(walks, ((0, 2), (2, 4)))
    assert found["0-2"]["mean"] == 1 and found["2-4"]["mean"] == 0.5 and found["all"]["mean"] == 0.75
    assert found["2-4"]["episodes"] == 2


def _confetti() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
