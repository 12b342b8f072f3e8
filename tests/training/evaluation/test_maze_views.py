"""LabMaze frames taken apart for the SRR judge."""

from typing import Any

import numpy as np
import pytest

from envs.labmaze import ids
from envs.labmaze.env import LabMazeEnv
from tests.helpers.small_world import Drum, LastFrameDream, act
from training.evaluation.maze_views import MazeViews, palettes
from worldsim.metrics.srr import KINDS, retrieval
from worldsim.session.session import Session
from worldsim.session.tick import Tick

ROUND_AND_BACK = [np.array([look, 0, 0, 0, 0, 0, 0]) for look in [400] * 4 + [-400] * 4]


class Told(LastFrameDream):
    """Dreams the frames that it was given, one after the other."""

    def __init__(self, frames: list[np.ndarray]) -> None:
        super().__init__()
        self.frames = iter(frames)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return next(self.frames), 0.0, False, False, self._info()


def played(seed: int, dreamt: list[np.ndarray] | None = None) -> list[Tick]:
    """A look round in the maze of a seed, beside a dream of these frames or else of nothing new."""
    session = Session(LabMazeEnv(), {"memory": LastFrameDream() if dreamt is None else Told(dreamt)})
    return [session.reset(seed=seed), *(session.step(action) for action in ROUND_AND_BACK)]


def test_both_sides_count_kinds_alike() -> None:
    assert ids.KINDS[1:] == KINDS[1:]


def test_a_view_drawn_anew_is_the_frame_that_was_recorded() -> None:
    world = LabMazeEnv(ids=True)
    seen, info = world.reset(seed=11)
    for _ in range(5):
        seen, _, _, _, info = world.step(np.array([200, 0, 0, 1, 0, 0, 0]))
    again = MazeViews().at(11, info["pose"])
    np.testing.assert_array_equal(again.frame, seen["pov"])
    walls = ids.kind(seen["ids"]) == KINDS.index("wall")
    np.testing.assert_array_equal(np.any(again.walls, axis=0), walls)


def test_true_views_are_retrieved_and_those_of_another_maze_are_not() -> None:
    world, views = LabMazeEnv(), MazeViews()
    for seed in (3, 4, 5):
        pose = world.reset(seed=seed)[1]["pose"]
        true = views.at(seed, pose)
        assert retrieval(true, true.frame, palettes()).retrieved
    other = world.reset(seed=100)[1]["pose"]
    assert not retrieval(true, views.at(100, other).frame, palettes()).retrieved


def test_a_pose_in_a_wall_has_no_view() -> None:
    with pytest.raises(ValueError, match="wall"):
        MazeViews().at(3, [0.5, 0.5, 0.5, 0, 0])


def test_srr_is_judged_live_on_returning_views_as_the_study_judges_them() -> None:
    views = MazeViews()
    for seed, other in ((3, 3), (3, 4), (5, 5), (6, 3)):
        for tick in played(seed, [tick.true_frame for tick in played(other)[1:]]):
            found = tick.dreams["memory"]
            if tick.revisit is None:
                assert found.srr is None
                continue
            assert tick.pose is not None
            verdict = retrieval(views.at(seed, tick.pose), found.frame, palettes())
            assert found.srr is (verdict.retrieved if verdict.trial else None)
            assert found.srr is not False or seed != other


def test_true_frames_pass_and_those_of_another_maze_fail_while_they_are_played() -> None:
    for other, srr in ((3, True), (4, False)):
        ticks = played(3, [tick.true_frame for tick in played(other)[1:]])
        assert [t.dreams["memory"].srr for t in ticks].count(srr) >= 2


def test_a_world_that_does_not_say_what_it_shows_is_not_judged() -> None:
    session = Session(Drum(), {"memory": LastFrameDream()})
    session.reset(seed=3)
    session.step(act(yaw=90))
    tick = session.step(act(yaw=-90))
    assert tick.revisit is not None and tick.dreams["memory"].srr is None
