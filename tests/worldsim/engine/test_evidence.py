"""Evidence is what remembered pictures show from a new pose: true places, nearer things in front, holes elsewhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.worldsim.engine.walls import FOV, SIDE, wall
from worldsim.engine.evidence import GENERATED, TRUE, Evidence, stack


@pytest.fixture(scope="module")
def draw() -> Evidence:
    return Evidence(SIDE, FOV, 1.0)


def _painted(seed: int = 0) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))


def test_a_view_seen_from_where_it_was_is_the_picture_itself(draw: Evidence) -> None:
    pose = [1.0, 2.0, 3.0, 40.0, -10.0]
    shown, mark, depth, *_ = draw(pose, _painted()[None], wall(2.0)[None], [pose], [TRUE])
    assert (mark == TRUE).all()
    assert np.array_equal(shown, _painted())
    assert depth[SIDE // 2, SIDE // 2] == pytest.approx(2.0, rel=0.01)


def test_turning_by_half_the_view_leaves_half_of_it_unknown(draw: Evidence) -> None:
    there, here = [0.0, 0, 0, 0, 0], [0.0, 0, 0, FOV / 2, 0]
    shown, mark, *_ = draw(here, _painted()[None], wall(2.0)[None], [there], [TRUE])
    level = slice(SIDE // 4, 3 * SIDE // 4)  # above and below, a turned view sees more than it saw
    assert (mark[level, : SIDE // 2 - 2] == TRUE).all(), "what lies to the left was seen"
    assert (mark[:, SIDE // 2 + 2 :] == 0).all(), "what lies to the right was not"
    assert (shown[mark == 0] == 127).all()


def test_a_step_aside_moves_a_wall_by_its_distance(draw: Evidence) -> None:
    # Yaw 0 looks to +z, where right is -x: a step to the right moves the wall to the left by an eighth of its width.
    there, here = [0.0, 0, 0, 0, 0], [-0.35, 0, 0, 0, 0]
    shown, mark, *_ = draw(here, _painted()[None], wall(2.0)[None], [there], [TRUE])
    moved = SIDE // 8
    assert np.array_equal(shown[:, : SIDE - moved], _painted()[:, moved:])
    assert (mark[:, SIDE - moved :] == 0).all()


def test_what_is_nearer_hides_what_is_behind_whichever_is_better(draw: Evidence) -> None:
    pose = [0.0, 0, 0, 0, 0]
    pictures = np.stack([np.full((SIDE, SIDE, 3), c, np.uint8) for c in (50, 200)])
    for far, near in ((0, 1), (1, 0)):
        walls = np.stack([wall(4.0 if i == far else 1.0) for i in range(2)])
        shown, *_ = draw(pose, pictures, walls, [pose, pose], [TRUE, GENERATED])
        assert (shown == pictures[near, 0, 0, 0]).all()


def test_of_one_surface_the_better_view_is_shown_and_its_mark(draw: Evidence) -> None:
    pose = [0.0, 0, 0, 0, 0]
    pictures = np.stack([np.full((SIDE, SIDE, 3), c, np.uint8) for c in (50, 200)])
    walls = np.stack([wall(2.0), wall(1.95)])
    shown, mark, *_ = draw(pose, pictures, walls, [pose, pose], [GENERATED, TRUE])
    assert (shown == 50).all()
    assert (mark == GENERATED).all()


def test_coming_nearer_leaves_no_cracks(draw: Evidence) -> None:
    ahead = 0.8  # a wall 2 away, from 1.2 away: each of its pixels is 1.7 wide
    yaw = [0.0, 0, ahead, 0, 0]
    _, mark, *_ = draw(yaw, _painted()[None], wall(2.0)[None], [[0.0, 0, 0, 0, 0]], [TRUE])
    assert mark.min() == TRUE


def test_pixels_across_an_edge_are_left_out(draw: Evidence) -> None:
    distances = wall(1.0)
    distances[:, SIDE // 2 :] += math.log(4.0)
    _, mark, *_ = draw([0.0, 0, 0, 0, 0], _painted()[None], distances[None], [[0.0, 0, 0, 0, 0]], [TRUE])
    assert (mark[:, SIDE // 2 - 1 : SIDE // 2 + 1] == 0).all()
    assert (np.delete(mark, [SIDE // 2 - 1, SIDE // 2], 1) == TRUE).all()


def test_nothing_remembered_is_nothing_shown(draw: Evidence) -> None:
    none = np.zeros((0, SIDE, SIDE, 3), np.uint8), np.zeros((0, SIDE, SIDE), np.float32)
    shown, mark, depth, *_ = draw([0.0, 0, 0, 0, 0], *none, [], [])
    assert not mark.any() and not depth.any()
    assert not stack(shown, mark).any(), "holes are zeros to a generator"
