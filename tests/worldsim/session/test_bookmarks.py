"""Going back to a bookmark and doing the same gives the same, in the true world and in its dreams, bit for bit."""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

import run_demo
import worldsim_app.worlds  # noqa: F401
from envs.episodes.episode import Episode
from envs.episodes.recorder import Recorder
from envs.policies.registry import Replay
from tests.helpers.small_model import SIZE, small_checkpoint
from tests.helpers.small_world import Drum, LastFrameDream, act
from worldsim import checkpoint
from worldsim.dream.env import Dream
from worldsim.dream.world import WorldPredictor
from worldsim.session import snapshot
from worldsim.session.bookmarks import NEAR
from worldsim.session.processes import environment
from worldsim.session.session import Session
from worldsim.session.snapshot import SnapshotError
from worldsim.session.tick import Tick

ROOT = Path(__file__).parents[3]


def _session(
    loaded: checkpoint.LoadedModel, world: str = "worldsim/Blocks-v0", engine: str = "auto", **words: Any
) -> Session:
    """A small model's dream and its twin in a real world, past true at every fifth frame."""

    def dream() -> Any:
        return Dream(WorldPredictor(loaded, engine=engine))

    env = gymnasium.make(world, size=SIZE)
    words = {"history_from": "true", "blind": 5} | words
    session = Session(env, {"memory": dream()}, twin=dream, **words)
    session.controls.set_compare(True)
    return session


def _walk(session: Session, steps: int, seed: int = 1) -> list[Tick]:
    """The ticks of random actions, each prepared for as live play does."""
    session.env.action_space.seed(seed)
    ticks = []
    for _ in range(steps):
        ticks.append(session.step(session.env.action_space.sample()))
        session.prepare()
    return ticks


def _same(first: list[Tick], second: list[Tick]) -> None:
    for a, b in zip(first, second, strict=True):
        assert a.index == b.index and np.array_equal(a.true_frame, b.true_frame)
        assert (a.revisit is None) == (b.revisit is None) and list(a.dreams) == list(b.dreams)
        for name, view in a.dreams.items():
            assert np.array_equal(view.frame, b.dreams[name].frame), f"{name}, frame {a.index}"
            assert (view.ssim, view.blind, view.retrieved) == (
                b.dreams[name].ssim,
                b.dreams[name].blind,
                b.dreams[name].retrieved,
            )


@pytest.mark.parametrize("pixels", [False, True])
def test_the_same_200_frames_follow_a_bookmark_again(tmp_path: Path, pixels: bool) -> None:
    session = _session(checkpoint.load(str(small_checkpoint(tmp_path / "small", pixels))))
    session.reset(seed=5)
    _walk(session, 30, seed=2)
    session.controls.place_bookmark()
    first = _walk(session, 200)
    session.controls.go_back()
    here = session.apply()
    assert here is not None and (here.action, here.index) == (None, 30)
    _same(first, _walk(session, 200))


def test_branches_of_one_bookmark_do_not_know_of_each_other(tmp_path: Path) -> None:
    loaded = checkpoint.load(str(small_checkpoint(tmp_path / "small")))
    session = _session(loaded, engine="eager", history_from="dream")
    session.reset(seed=5)
    _walk(session, 12, seed=2)
    session.controls.place_bookmark()
    first = _walk(session, 30)
    for seed in (7, 1):
        session.controls.go_back()
        session.step(session.env.action_space.sample())  # shows the place itself
        other = _walk(session, 30, seed)
    _same(first, other)
    assert not np.array_equal(first[-1].true_frame, _walk(session, 1)[0].true_frame)


def test_g_again_within_a_second_goes_to_the_bookmark_before(tmp_path: Path) -> None:
    session = Session(Drum(), {}, bookmarks=tmp_path)
    session.reset(seed=1)
    for _ in range(2):
        for _ in range(NEAR + 10):
            session.step(act(yaw=3))
        session.controls.place_bookmark()
    session.step(act())
    seen = []
    for _ in range(3):
        session.controls.go_back()
        tick = session.apply()
        assert tick is not None
        seen.append(tick.index)
    assert seen == [60, 30, 30]
    assert session.bookmarks is not None
    session.bookmarks.wait()
    assert len(list(tmp_path.glob("worldsim-*.safetensors"))) == 2


def test_a_twin_that_came_later_is_gone_again(tmp_path: Path) -> None:
    loaded = checkpoint.load(str(small_checkpoint(tmp_path / "small")))
    session = _session(loaded)
    session.reset(seed=1)
    session.controls.set_compare(False)
    _walk(session, 3)
    session.controls.place_bookmark()
    session.controls.set_compare(True)
    assert "forgetful" in _walk(session, 1)[0].dreams
    session.controls.go_back()
    tick = session.apply()
    assert tick is not None and list(tick.dreams) == ["memory"]


_RUN = """
import sys
from pathlib import Path
import numpy as np
from tests.worldsim.session.test_bookmarks import _session, _walk
from worldsim import checkpoint
small, kept, out, opening = sys.argv[1:]
session = _session(checkpoint.load(small), bookmarks=Path(kept), opening=Path(opening) if opening else None)
session.reset(seed=99 if opening else 5)
if not opening:
    _walk(session, 25, seed=2)
    session.controls.place_bookmark()
ticks = _walk(session, 40)
session.bookmarks.wait()
dreamt = [[view.frame for view in tick.dreams.values()] for tick in ticks]
np.savez(out, true=[tick.true_frame for tick in ticks], dream=dreamt)
"""


def _run(small: Path, out: Path, opening: str = "") -> dict[str, np.ndarray]:
    """A program of its own, for what other tests leave in this one is no part of a restart."""
    words = [sys.executable, "-c", _RUN, str(small), str(out.parent / "kept"), str(out), opening]
    done = subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(out) as arrays:
        return dict(arrays)


def test_a_file_survives_a_restart_and_refuses_other_weights(tmp_path: Path) -> None:
    small = small_checkpoint(tmp_path / "small")
    first = _run(small, tmp_path / "first.npz")
    (file,) = (tmp_path / "kept").iterdir()
    again = _run(small, tmp_path / "again.npz", str(file))
    assert np.array_equal(again["true"], first["true"])
    assert np.array_equal(again["dream"], first["dream"])

    other = checkpoint.load(str(small))
    with torch.no_grad():
        next(other.model.parameters()).add_(1e-3)
    foreign = _session(other)
    foreign.reset(seed=5)
    foreign.controls.open_bookmark(file)
    tick = _walk(foreign, 1)[0]
    assert (tick.index, list(tick.dreams)) == (1, ["memory", "forgetful"])  # it played on
    told = [foreign.controls.notices.get() for _ in range(2)][-1]
    assert "dreamt by other weights" in told and "give the checkpoint that dreamt it" in told


def test_a_state_of_another_world_or_a_damaged_one_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = small_checkpoint(tmp_path / "small")
    session = _session(checkpoint.load(str(small)))
    session.reset(seed=5)
    file = tmp_path / "kept.safetensors"
    snapshot.write(file, session.save())
    words = ["--env", "minecraft", "--headless", "--checkpoint", str(small), "--steps", "2", "--bookmark"]
    data = file.read_bytes()
    for damaged in (data[:-50], data[:100], b"", data[:-1] + bytes([data[-1] ^ 1])):
        file.write_bytes(damaged)
        assert run_demo.main([*words, str(file)]) == 2
        told = capsys.readouterr().err
        assert str(file) in told and told.count("\n") <= 3
    file.write_bytes(data)
    assert run_demo.main([*words, str(file), "--compare"]) == 0
    with pytest.raises(SnapshotError, match="of another world"):
        _session(checkpoint.load(str(small)), "worldsim/LabMaze-v0").load(snapshot.read(file))


def test_what_cannot_be_kept_says_so() -> None:
    class Unkept(Drum):
        save_state = property()  # type: ignore[assignment]

    for env, told in ((Unkept(), "cannot go back"), (Drum(), "memory cannot be kept")):
        session = Session(env, {"memory": LastFrameDream()})
        session.reset(seed=1)
        session.controls.place_bookmark()
        session.controls.go_back()
        session.apply()
        assert told in session.controls.notices.get_nowait()
        assert "there is no bookmark" in session.controls.notices.get_nowait()


def test_a_recording_begun_after_going_back_replays(tmp_path: Path) -> None:
    env = gymnasium.make("worldsim/Blocks-v0", size=16)
    recorder = Recorder(env, tmp_path, autostart=False)
    session = Session(recorder, {}, recorder=recorder)
    session.reset(seed=8)
    _walk(session, 10, seed=2)
    session.controls.place_bookmark()
    _walk(session, 10, seed=3)
    session.controls.go_back()
    session.apply()
    session.controls.toggle_recording()
    ticks = _walk(session, 15, seed=4)
    session.close()
    (file,) = tmp_path.glob("*.zip")
    with Episode(file) as episode:
        world = gymnasium.make("worldsim/Blocks-v0", size=16)
        replay = Replay(world, episode=episode)
        observation, info = world.reset(seed=replay.seed, options=replay.options)
        replay.reset(info)
        frames = []
        while True:
            try:
                action = replay(observation, info)
            except StopIteration:
                break
            observation, *_, info = world.step(action)
            frames.append(observation["pov"])
    assert np.array_equal(frames[-15:], [tick.true_frame for tick in ticks])


def test_a_state_keeps_many_actions_in_few_bytes_and_one_from_before_is_gone_back_to(tmp_path: Path) -> None:
    recorder = Recorder(Drum(), tmp_path, autostart=False)
    recorder.reset(seed=1)
    for _ in range(2000):
        recorder.step(act(forward=1))
    state = recorder.save_state()
    lines = zlib.decompress(state["recorder/actions"].tobytes())
    assert len(lines.splitlines()) == 2000 and len(lines) > 20 * state["recorder/actions"].nbytes
    for kept in (state, state | {"recorder/actions": np.frombuffer(lines, np.uint8)}):
        recorder.load_state(kept)
        assert zlib.decompress(recorder.save_state()["recorder/actions"].tobytes()) == lines
    for damaged in (state["recorder/actions"][:-9], state["recorder/actions"][[0, 2, 1, 3]]):
        with pytest.raises(ValueError, match="actions"):
            recorder.load_state(state | {"recorder/actions": damaged})


@pytest.mark.parametrize("world", ["worldsim/Blocks-v0", "worldsim/LabMaze-v0"])
def test_a_world_goes_back_with_all_that_was_dug_and_placed(world: str) -> None:
    env = gymnasium.make(world, size=16)
    env.reset(seed=3)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(120)]
    for action in actions[:60]:
        env.step(action)
    state = env.get_wrapper_attr("save_state")()
    first = [env.step(action)[0]["pov"] for action in actions[60:]]
    fresh = gymnasium.make(world, size=16)
    fresh.reset(seed=77)
    for each in (env, fresh):
        each.get_wrapper_attr("load_state")({name: array.copy() for name, array in state.items()})
        assert np.array_equal(first, [each.step(action)[0]["pov"] for action in actions[60:]])
    with pytest.raises((ValueError, KeyError)):
        env.get_wrapper_attr("load_state")({name: array[:1] for name, array in state.items()})
