"""Nobody walks through what a dream shows: a step ends before it, slides along it, and passes above and below."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.worldsim.engine.walls import FOV, wall
from worldsim.engine.collision import FEW, stopped, surroundings, without_collision
from worldsim.engine.past import DreamPast

HALF, ROOM = 0.3, 0.45
BODY = [HALF, ROOM, -0.5, 0.2]
AHEAD, BEHIND, RIGHT = (np.array(step) for step in ([0.0, 0, 0.7], [0.0, 0, -0.7], [-0.7, 0, 0]))


def _surface(z: float, y: float = 0.0, n: int = 20) -> NDArray[np.float64]:
    """Places at z = ``z``, across the way ahead."""
    return np.stack([np.linspace(-2, 2, 8 * n), np.full(8 * n, y), np.full(8 * n, z)], 1)


def _past(*looks: tuple[float, float]) -> DreamPast:
    """Frames from one place, each by a yaw and with a wall so far ahead of it."""
    past = DreamPast(8, latents=[torch.zeros(1, 2, 2)] * len(looks))
    past.poses = [torch.tensor([0.0, 0, 0, yaw, 0]) for yaw, _ in looks]
    past.depths = [torch.from_numpy(wall(far, 32)) for _, far in looks]
    return past


def _never(latents: Tensor, pitch: Tensor) -> Tensor:
    raise AssertionError("distances are known")


def _moved(past: DreamPast, step: NDArray[np.float64]) -> list[float]:
    pose = past.poses[-1].clone()
    pose[:3] += torch.from_numpy(step).float()
    return without_collision(past, pose, _never, 1.0, FOV, BODY)[:3].tolist()


def test_a_step_ends_before_a_wall() -> None:
    assert stopped(AHEAD, [_surface(1.0)], BODY) == pytest.approx([0, 0, 1.0 - ROOM])
    assert stopped(AHEAD, [_surface(0.3)], BODY) == pytest.approx([0, 0, 0]), "nor is anybody pushed back"
    assert stopped(BEHIND, [_surface(1.0)], BODY) == pytest.approx(BEHIND), "away from it one goes freely"


def test_a_body_slides_along_a_wall() -> None:
    assert stopped(AHEAD + RIGHT, [_surface(0.5)], BODY) == pytest.approx([-0.7, 0, 0.05])


@pytest.mark.parametrize("height", [-1.6, 0.4])
def test_what_is_stepped_over_or_passed_under_stops_nobody(height: float) -> None:
    assert stopped(AHEAD, [_surface(0.5, height)], BODY) == pytest.approx(AHEAD)


def test_what_lies_beside_the_way_stops_nobody() -> None:
    beside = _surface(0.5)
    assert stopped(AHEAD, [beside[np.abs(beside[:, 0]) > HALF]], BODY) == pytest.approx(AHEAD)


def test_a_slip_of_a_few_places_stops_nobody() -> None:
    middle = np.array([[0.0, 0, 0.5]])
    assert stopped(AHEAD, [middle.repeat(FEW - 1, 0)], BODY) == pytest.approx(AHEAD)
    assert stopped(AHEAD, [middle.repeat(FEW, 0)], BODY) == pytest.approx([0, 0, 0.05])


def test_up_and_down_are_free() -> None:
    jump = np.array([0.0, 0.4, 0.7])
    assert stopped(jump, [_surface(0.5)], BODY) == pytest.approx([0, 0.4, 0.05])


def test_a_dream_is_stopped_by_what_it_shows() -> None:
    assert _moved(_past((0.0, 1.0)), AHEAD) == pytest.approx([0, 0, 1.0 - ROOM], abs=0.01)
    assert _moved(_past((0.0, 3.0)), AHEAD) == pytest.approx(AHEAD.tolist())


def test_what_was_seen_before_one_turned_away_still_stands_there() -> None:
    """The wall is behind: yaw 180 looks away from what yaw 0 has seen."""
    assert _moved(_past((0.0, 1.0), (180.0, 9.0)), AHEAD) == pytest.approx([0, 0, 1.0 - ROOM], abs=0.01)


def test_what_was_dug_stops_nobody() -> None:
    past = _past((0.0, 1.0))
    past.forgotten = [np.ones((32, 32), np.bool_)]
    assert _moved(past, AHEAD) == pytest.approx(AHEAD.tolist())


def test_only_what_is_within_reach_is_looked_at() -> None:
    near, far = _past((0.0, 1.0)), _past((0.0, 4.0))
    assert len(surroundings(near, _never, 1.0, FOV, 1.5)[0]) and not len(
        surroundings(far, _never, 1.0, FOV, 1.5)[0]
    )
