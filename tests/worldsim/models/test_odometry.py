"""What dead reckoning is told makes the motion of a body simple, and a fall end on a whole step."""

from __future__ import annotations

import pytest
import torch

from training.data.clips import grounds
from worldsim.models.geometry import motion, move, rotation, seen_from
from worldsim.models.odometry import (
    FLOOR_MARGIN,
    N_RECENT,
    STANDING,
    STRIDE,
    Odometry,
    odometry_features,
    standing_height,
)

SCALE, DRAG, PUSH, TURN, STEPS = 4.0, 0.546, 0.1, 12.0, 60
JUMP = [0.0, 0.42, 0.753, 1.001, 1.166, 1.249, 1.252, 1.176, 1.024, 1.0, 1.0, 1.0]  # up a step, in Blocks


def _body() -> tuple[torch.Tensor, torch.Tensor]:
    """Actions (N, 2), turn and forward, and the poses (N + 1, 5) of a body that slides and is pushed where it looks."""
    random = torch.Generator().manual_seed(0)
    actions = torch.rand(STEPS, 2, generator=random) - torch.tensor([0.4, 0.0])
    poses, speed = [torch.zeros(5)], torch.zeros(3)
    for turn, forward in actions:
        here = poses[-1].clone()
        here[3] += TURN * turn
        speed = DRAG * speed + PUSH * forward * rotation(here)[:, 2]
        here[:3] += speed
        poses.append(here)
    return actions, torch.stack(poses)


def _knows() -> Odometry:
    """An odometry whose linear map says what such a body does, and whose network nothing."""
    odometry = Odometry(8, (4, 4), 2, SCALE)
    odometry.turns[0, 0] = TURN / 15
    odometry.exact.fill_(1)
    with torch.no_grad():
        first = N_RECENT * 2  # the last motion follows the actions
        odometry.direct.weight[:3, first : first + 3] = DRAG * torch.eye(3)
        odometry.direct.weight[2, 1] = PUSH / SCALE / STRIDE
    return odometry


@torch.no_grad()
def test_a_body_that_slides_and_is_pushed_where_it_looks_is_a_linear_map() -> None:
    """However it turns meanwhile: 60 steps of up to 12 degrees end where they should."""
    actions, true = _body()
    odometry, pose = _knows(), true[:1]
    seen = odometry.look(torch.randn(1, 8, 4, 4))
    motions = torch.zeros(1, N_RECENT, 5)
    padded = torch.cat([torch.zeros(N_RECENT - 1, 2), actions])
    for i in range(STEPS):
        lately = padded[i : i + N_RECENT].flip(0)[None]
        delta = odometry.estimate_motion(seen, lately, motions, pose[:, 4], torch.zeros(1))
        after = move(pose, delta, SCALE)
        motions = torch.cat([motion(pose, after, SCALE)[:, None], motions[:, :-1]], 1)
        pose = after
    assert (true[-1, :3] - true[0, :3]).norm() > 0.5
    torch.testing.assert_close(pose[0, :3], true[-1, :3], atol=1e-4, rtol=0)


def test_a_step_is_seen_from_a_camera_that_has_turned() -> None:
    pose = torch.tensor([1.0, 2.0, 3.0, 20.0, 0.0])
    turned = torch.tensor([1.0, 2.0, 3.0, 65.0, 0.0])
    there = torch.tensor([1.5, 2.5, 2.0, 0.0, 0.0])
    step = motion(pose, there, SCALE)[:3]
    torch.testing.assert_close(seen_from(step, torch.tensor(45.0)), motion(turned, there, SCALE)[:3])


def _brute_force(heights: list[float]) -> float:
    """Where two motions in a row were level last; before the first frame nothing moved."""
    line = [heights[0]] * 2 + heights
    for i in range(len(line) - 1, 1, -1):
        if all(abs(line[k] - line[k - 1]) < STANDING for k in (i, i - 1)):
            return line[i]
    raise AssertionError


@pytest.mark.parametrize(
    "falls", [[0.0], [3.0, 2.92, 2.77, 2.54, 2.0, 2.0, 2.0], JUMP, JUMP + [h + 1 for h in JUMP]]
)
def test_the_ground_is_where_one_stood_last_in_play_and_in_training(falls: list[float]) -> None:
    told = grounds(torch.tensor(falls))
    for i in range(len(falls)):
        expected = _brute_force(falls[: i + 1])
        assert standing_height(reversed(falls[: i + 1])) == pytest.approx(expected)
        assert float(told[i]) == pytest.approx(expected)


def test_the_top_of_a_jump_is_no_ground() -> None:
    for i in range(1, len(JUMP) - 2):
        assert standing_height(reversed(JUMP[: i + 1])) == 0.0
    assert standing_height(reversed(JUMP)) == 1.0


def test_whole_steps_up_and_down_are_the_same_place() -> None:
    turned, actions, motions = torch.zeros(1, 2), torch.zeros(1, N_RECENT, 2), torch.zeros(1, N_RECENT, 5)

    def place(height: float) -> list[float]:
        """Sine, cosine and what is above the last whole step."""
        return odometry_features(turned, actions, motions, torch.zeros(1), torch.tensor([height]))[
            0, -5:-2
        ].tolist()

    for whole in (-3.0, -1.0, 1.0, 2.0):
        assert place(whole + 0.25) == pytest.approx(place(0.25), abs=1e-5)
    assert place(0.75)[-1] == pytest.approx(0.75)
    # it stands, a little too low
    assert place(1 - 0.5 * FLOOR_MARGIN)[-1] == pytest.approx(-0.5 * FLOOR_MARGIN)
    assert place(-0.3)[-1] == pytest.approx(0.7)
