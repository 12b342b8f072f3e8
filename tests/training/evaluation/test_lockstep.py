"""The needle protocol on a recorded walk is the one of a live session, frame for frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import envs  # noqa: F401  (registers the worlds)
from envs.episodes.episode import Episode
from examples.last_frame import LastFrame
from tests.helpers.small_model import SIZE, SPEC, small_loaded
from tests.helpers.small_run import record
from training.evaluation.lockstep import Walk, replay
from worldsim.dream.env import Dream
from worldsim.dream.registry import Options, Source
from worldsim.dream.world import DreamEnv
from worldsim.session.session import Session

BLIND = 7


@pytest.fixture(scope="module")
def episode(tmp_path_factory: pytest.TempPathFactory) -> Episode:
    folder = tmp_path_factory.mktemp("walk")
    data = record(folder, episodes=1, steps=40, name="worldsim/Blocks-v0", policy="needle")
    return Episode(sorted(data.glob("*.zip"))[0])


def _live(episode: Episode, dreams: dict[str, Any]) -> list[Any]:
    meta = episode.meta
    world = gymnasium.make(meta["env_id"], disable_env_checker=True, **meta["env_kwargs"])
    session = Session(world, dreams, history_from="true", blind=BLIND)
    session.reset(seed=int(meta["seed"]))
    return [session.step(episode.action(i)) for i in range(len(episode) - 1)]


@pytest.mark.parametrize("pose_from", ["dream", "true"])
def test_a_replay_is_the_live_session(episode: Episode, tmp_path: Path, pose_from: str) -> None:
    loaded = small_loaded(tmp_path)

    def dreams() -> dict[str, Dream[Any]]:
        pair = {name: DreamEnv(loaded, budget=4, pose_from=pose_from) for name in ("memory", "forgetful")}
        pair["forgetful"].history = min(pair["forgetful"].histories)
        return dict(pair)

    ticks = _live(episode, dreams())
    steps = list(replay(dreams(), episode, BLIND, seed=int(episode.meta["seed"])))
    assert len(ticks) == len(steps) == len(episode) - 1
    for tick, step in zip(ticks, steps, strict=True):
        assert np.array_equal(tick.true_frame, step.true) and tick.index == step.index
        told, found = tick.revisit, step.revisit
        assert (told and (told.age, told.range)) == (found and (found.age, found.range))
        for name, view in tick.dreams.items():
            assert np.abs(view.frame.astype(int) - step.frames[name]).max() <= 1
    assert any(step.revisit for step in steps)


def test_the_past_becomes_true_after_so_many_frames_and_never_where_none_is_said(episode: Episode) -> None:
    options, corrected = Options(size=SIZE, action_spec=SPEC), []

    class Corrected(LastFrame):
        size = SIZE

        def correct(self, frames: np.ndarray) -> None:
            corrected.append(len(frames))
            self.frame = frames[-1]

    dream = {"copy": Source("copy", factory=Corrected).dream(options)}
    true = episode.frames(0, len(episode))
    for step in replay(dream, episode, BLIND, context=3):
        last = 2 + (step.index - 3) // BLIND * BLIND  # the newest true frame it knows
        assert np.array_equal(step.frames["copy"], true[last])
    assert corrected == [BLIND] * ((len(true) - 3 - 1) // BLIND)
    corrected.clear()
    for step in replay(dream, Walk.of(episode, 5, 20, posed=False), None, revisits=False):
        assert np.array_equal(step.frames["copy"], true[5]) and step.revisit is None
    assert not corrected and step.index == 14


def test_every_dream_has_its_own_seed_where_seeds_are_told(episode: Episode) -> None:
    begun = []

    class Seeded(LastFrame):
        size = SIZE

        def begin(self, frames: np.ndarray, actions: np.ndarray, seed: int) -> None:
            begun.append(seed)
            self.frame = frames[-1]

    source = Source("seeded", factory=Seeded)
    dreams = {name: source.dream(Options(action_spec=SPEC)) for name in "ab"}
    next(replay(dreams, episode, seed={"a": 4, "b": 9}))
    assert begun == [4, 9]
