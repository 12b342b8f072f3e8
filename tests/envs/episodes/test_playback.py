"""What was not recorded here is watched: its own pictures, poses and rewards are the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import worldsim_app.replay
from envs.actions import noop, space, spec
from envs.episodes.episode import Episode
from envs.episodes.writer import EpisodeWriter
from envs.worlds import World
from worldsim.session.headless import play
from worldsim.session.session import Session
from worldsim.session.sinks.replay_check import ReplayCheck

N = 9


def _imported(folder: Path, prelude: int = 0, **meta: Any) -> Episode:
    frames = np.random.default_rng(0).integers(0, 255, (N, 16, 16, 3), np.uint8)
    told = {"action_spec": spec(space("minecraft"), "minecraft"), "backend": "vpt", "env_id": "vpt", **meta}
    writer = EpisodeWriter(folder, "walk", told, [noop("minecraft")] * prelude)
    writer.first(frames[0], np.arange(5.0))
    for i in range(1, N):
        writer.add(noop("minecraft"), frames[i], np.arange(5.0) + i, reward=i)
    return Episode(writer.seal())


@pytest.mark.parametrize("prelude", [0, 3])
def test_a_replay_of_imported_data_shows_what_was_recorded(prelude: int, tmp_path: Path) -> None:
    episode = _imported(tmp_path, prelude)
    world = World("minecraft", "embedded", 64, 0, episode, None, False)
    check, ticks = ReplayCheck(episode), []
    sink = type("Sink", (), {"add": lambda self, tick: ticks.append(tick)})()
    session = Session(world.env, {})
    play(session, lambda info: world.player("", info), [check, sink], seed=world.seed)
    session.close()
    assert check.summary == f"replay: {N} of {N} frames, all as recorded, bit for bit"
    np.testing.assert_array_equal(ticks[prelude + 4].pose, np.arange(5.0) + 4)
    assert len(ticks) == prelude + N


def test_it_ends_with_its_last_frame_and_begins_again(tmp_path: Path) -> None:
    env = World("minecraft", "embedded", 64, 0, _imported(tmp_path), None, False).env
    for _ in range(2):
        env.reset(seed=5)
        rows = [env.step(noop("minecraft")) for _ in range(N - 1)]
        assert [row[1] for row in rows] == list(range(1, N))
        assert [row[2] for row in rows] == [False] * (N - 2) + [True]


def test_replay_names_no_backend_that_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[list[str]] = []
    monkeypatch.setattr("worldsim_app.play.main", lambda words: said.append(words) or 0)
    path = str(_imported(tmp_path).path)
    assert worldsim_app.replay.main([path]) == 0
    assert said == [["--env", "minecraft", "--replay", path]]
