"""Suites repeat to the frame, and say so where they do not; what their policies do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.bench.odometry import FrameOdometry
from training.bench.suite import Script, Suite, find, names
from training.bench.tasks.actions import motions
from training.bench.tasks.mirror import pairs
from training.bench.truth import Worlds
from worldsim.config import ConfigError


@pytest.fixture(scope="module")
def worlds() -> Worlds:
    return Worlds(64)


@pytest.mark.parametrize("world", ["blocks", "labmaze"])
def test_a_shipped_suite_repeats_to_the_frame(world: str, worlds: Worlds) -> None:
    suite = find("tiny")
    (script,) = [s for s in suite.scripts if s.world == world and s.task == "ahead"]
    truth = worlds.play(suite, script)
    assert truth.digest == script.digest and len(truth.walk.frames) == script.frames
    assert not np.array_equal(worlds.elsewhere(truth).frames[0], truth.walk.frames[0])


def test_every_shipped_suite_is_whole() -> None:
    assert {"tiny", "small", "full"} <= set(names())
    for name in names():
        suite = find(name)
        assert len({s.id for s in suite.scripts}) == len(suite.scripts)
        for script in suite.scripts:
            actions = suite.actions(script)
            if script.world == "luanti":  # its maps do not repeat themselves elsewhere
                assert actions is None and not script.digest
                continue
            assert actions is not None and len(actions) == script.frames - 1 and script.digest
            assert script.context < script.frames
            if script.task == "loop":
                assert script.marks[-1] == script.context


def test_a_suite_that_cannot_be_read_is_a_sentence(short: Suite, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "suite.json").write_text('{"format": 99}')
    with pytest.raises(ConfigError, match="has format 99, this program reads format 1"):
        find(str(tmp_path))
    with pytest.raises(ConfigError, match="expected one of"):
        find("nowhere")


@pytest.mark.parametrize(("legs", "units"), [(1, 5), (2, 5), (1, 30)])
def test_a_loop_comes_back_to_where_it_began_and_looks_the_same_way(
    legs: int, units: int, worlds: Worlds
) -> None:
    for seed in range(3, 30):
        options = {"legs": legs, "range": units}
        truth = worlds.record(Script("", "labmaze", "loop", seed, 1, 0, (), options))
        if truth.marks:
            break
    poses = truth.walk.poses
    assert poses is not None and len(truth.marks) == legs + 1
    assert np.linalg.norm(poses[-1, :3] - poses[0, :3]) < 0.3
    assert abs((poses[-1, 3] - poses[0, 3] + 180) % 360 - 180) < 3
    walked = np.linalg.norm(np.diff(poses[truth.marks[0] : truth.marks[-1], :3], axis=0), axis=1).sum()
    assert 0.5 * units * legs < walked < 1.6 * units * legs


def test_frames_of_a_mirrored_path_belong_to_the_nearest_pose(worlds: Worlds) -> None:
    truth = worlds.record(Script("", "labmaze", "mirror", 5, 8, 0, (), {"steps": 12}))
    out, back = truth.marks
    poses = truth.walk.poses
    assert poses is not None
    found = pairs(poses, out, back, 1.0)
    assert len(found) == back - 1 - out == 11
    assert (found >= back).all() and found[0] > found[-1]  # the other way round
    assert np.median(np.linalg.norm(poses[out : back - 1, :3] - poses[found, :3], axis=1)) < 0.2


@pytest.mark.parametrize("world", ["blocks", "labmaze"])
def test_the_judge_of_actions_sees_how_true_frames_were_moved_between(world: str, worlds: Worlds) -> None:
    truth = worlds.record(replace(Script("", world, "actions", 1_400_001, 16)))
    frames, poses = truth.walk.frames[15:45], truth.walk.poses[15:45]  # type: ignore[index]
    seen, true = FrameOdometry.of(world).motions(frames, poses[:, 4]), motions(poses)
    assert np.median(np.abs(seen[:, 2] - true[:, 2])) < 1
    assert np.median(np.abs(seen[:, :2] - true[:, :2])) < 0.05
    frozen = np.repeat(frames[:1], 4, 0)
    assert np.abs(FrameOdometry.of(world).motions(frozen, poses[:4, 4])).max() < 0.2
