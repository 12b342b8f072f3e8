"""The recorder: every episode is on disk, survives kill -9, and replays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import envs  # noqa: F401
from envs.actions import noop
from envs.episodes import writer
from envs.episodes.episode import Episode, seal_partials
from envs.episodes.recorder import Recorder
from envs.policies import registry as policies
from tests.envs.flatland import Flatland, walk


def _play(recorder: Recorder, steps: int) -> list[np.ndarray]:
    family: str = recorder.unwrapped.family  # type: ignore[attr-defined]
    return [recorder.step(walk(family, turn=3.0 * i))[0]["pov"] for i in range(steps)]


@pytest.mark.parametrize("family", ["minecraft", "dmlab"])
def test_each_reset_begins_an_episode_and_close_seals_the_last(tmp_path: Path, family: str) -> None:
    recorder = Recorder(
        Flatland(family), tmp_path, name=lambda meta: f"seed{meta['seed']}", extra={"who": "test"}
    )
    frames = []
    for seed in (1, 2):
        frames = [recorder.reset(seed=seed)[0]["pov"], *_play(recorder, 4)]
    recorder.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["seed1.zip", "seed2.zip"]
    episode = Episode(tmp_path / "seed2.zip")
    np.testing.assert_array_equal(episode.frames(), frames)
    assert episode.meta["family"] == family and episode.meta["fov"] == 90.0 and episode.meta["who"] == "test"
    assert episode.poses is not None and episode.steps["reward"].tolist() == [0.5] * 4


def test_start_and_stop_cut_a_piece_out_with_the_actions_before_it(tmp_path: Path) -> None:
    recorder = Recorder(Flatland(), tmp_path, autostart=False)
    recorder.reset(seed=0)
    _play(recorder, 3)
    assert not recorder.recording and recorder.stop() is None
    recorder.start()
    assert recorder.recording
    frames = _play(recorder, 5)
    path = recorder.stop()
    assert path is not None and not recorder.recording
    episode = Episode(path)
    assert len(episode) == 6 and len(episode.prelude) == 3
    np.testing.assert_array_equal(episode.frames(1, 6), frames)


def test_a_recorder_that_only_may_record_makes_no_folder_before_it_does(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    recorder = Recorder(Flatland(), folder, autostart=False)
    recorder.reset(seed=0)
    _play(recorder, 2)
    assert not folder.exists()
    recorder.start()
    _play(recorder, 2)
    assert recorder.stop() is not None and len(list(folder.iterdir())) == 1


def test_a_recording_without_a_step_leaves_nothing(tmp_path: Path) -> None:
    recorder = Recorder(Flatland(), tmp_path)
    recorder.reset(seed=0)
    recorder.close()
    assert list(tmp_path.iterdir()) == []


def test_start_before_reset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="reset"):
        Recorder(Flatland(), tmp_path).start()


def test_a_reset_without_seed_can_be_replayed_too(tmp_path: Path) -> None:
    recorder = Recorder(Flatland(), tmp_path)
    recorder.reset(seed=3)
    observation, _ = recorder.reset()
    _play(recorder, 1)
    path = recorder.stop()
    assert path is not None
    seed = Episode(path).meta["seed"]
    assert seed != 3
    np.testing.assert_array_equal(Flatland().reset(seed=seed)[0]["pov"], observation["pov"])


CHILD = """
import itertools, sys
from envs.episodes.recorder import Recorder
from tests.envs.flatland import Flatland, walk
recorder = Recorder(Flatland(), sys.argv[1])
recorder.reset(seed=0)
for i in itertools.count(1):
    recorder.step(walk("minecraft", 5.0))
    print(i, flush=True)
"""


def test_kill_9_loses_no_frame_that_was_finished(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) == 40:
            os.kill(child.pid, signal.SIGKILL)
            break
    told = [int(line) for line in child.stdout] or [40]
    child.wait()
    recorder = Recorder(Flatland(), tmp_path)  # the next start
    (path,) = recorder.recovered
    episode = Episode(path)
    assert len(episode) - 1 in (told[-1], told[-1] + 1)  # the step being told of when the signal came
    world = Flatland()
    frames = [world.reset(seed=episode.meta["seed"])[0]["pov"]]
    frames += [world.step(episode.action(i))[0]["pov"] for i in range(len(episode) - 1)]
    np.testing.assert_array_equal(episode.frames(), frames)


@pytest.mark.parametrize("world", ["worldsim/Blocks-v0", "worldsim/LabMaze-v0"])
@pytest.mark.parametrize("autostart", [True, False], ids=["from the reset", "from mid-episode"])
def test_recordings_of_the_embedded_worlds_replay_bit_for_bit(
    tmp_path: Path, world: str, autostart: bool
) -> None:
    recorder = Recorder(gymnasium.make(world, size=32), tmp_path, autostart=autostart)
    recorder.reset(seed=11)
    recorder.action_space.seed(0)
    for i in range(60):
        if i == 20:
            recorder.start()
        recorder.step(recorder.action_space.sample())
    path = recorder.stop()
    recorder.close()
    assert path is not None
    episode = Episode(path)
    env = gymnasium.make(episode.meta["env_id"], **episode.meta["env_kwargs"])
    replay = policies.Replay(env, episode=episode)
    observation, info = env.reset(seed=replay.seed, options=replay.options)
    replay.reset(info)
    frames, poses = [observation["pov"]], [info["pose"]]
    while not replay.done:
        observation, _, _, _, info = env.step(replay(observation, info))
        frames.append(observation["pov"])
        poses.append(info["pose"])
    np.testing.assert_array_equal(np.stack(frames[replay.skip :]), episode.frames())
    np.testing.assert_array_equal(np.stack(poses[replay.skip :]), episode.poses)
    with pytest.raises(StopIteration):
        replay(observation, info)


def test_a_reset_to_a_pose_is_replayed_from_that_pose(tmp_path: Path) -> None:
    recorder = Recorder(Flatland(), tmp_path)
    recorder.reset(seed=1, options={"pose": np.array([2.0, 1.62, 3.0, 45.0, 0.0])})
    recorder.step(noop("minecraft"))
    path = recorder.stop()
    assert path is not None
    replay: Any = policies.make("replay", Flatland(), episode=path)
    world = Flatland()
    _, info = world.reset(seed=replay.seed, options=replay.options)
    np.testing.assert_array_equal(info["pose"], Episode(path).poses[0])  # type: ignore[index]


def test_two_recorders_in_one_folder_do_not_seal_each_others_work(tmp_path: Path) -> None:
    first = Recorder(Flatland(), tmp_path)
    first.reset(seed=0)
    _play(first, 3)
    second = Recorder(Flatland(), tmp_path)
    assert second.recovered == [] and seal_partials(tmp_path) == []
    assert first.stop() is not None


def test_where_an_earlier_recording_could_not_be_sealed_the_running_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, names, begun = writer.seal, iter(("full", "whole")), threading.Event()

    def seal(file: Any, path: Path, **options: Any) -> Any:
        if path.stem == "full":
            begun.wait(30)
            raise OSError(28, "No space left on device", str(path))
        return real(file, path, **options)

    monkeypatch.setattr(writer, "seal", seal)
    recorder = Recorder(Flatland(), tmp_path, autostart=False, name=lambda meta: next(names), background=True)
    recorder.reset(seed=0)
    recorder.start()
    _play(recorder, 3)
    recorder.stop()
    recorder.start()
    _play(recorder, 3)
    begun.set()
    assert recorder._sealer is not None
    for thread in recorder._sealer._threads:
        thread.join()
    with pytest.raises(OSError, match="No space left"):
        recorder.close()
    assert len(Episode(tmp_path / "whole.zip")) == 4
