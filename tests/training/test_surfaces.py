"""LabMaze frames taken apart for the SRR judge."""

import numpy as np
import pytest

from envs.labmaze import ids
from envs.labmaze.env import LabMazeEnv
from training.surfaces import MazeViews, rivals
from worldsim.metrics.srr import KINDS, judge


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
        assert judge(true, true.frame, rivals()).retrieved
    other = world.reset(seed=100)[1]["pose"]
    assert not judge(true, views.at(100, other).frame, rivals()).retrieved


def test_a_pose_in_a_wall_has_no_view() -> None:
    with pytest.raises(ValueError, match="wall"):
        MazeViews().at(3, [0.5, 0.5, 0.5, 0, 0])
