"""Cameras: rays of a picture's cells, rotations of a pose, poses relative to one another.

A pose is (x, y, z, yaw, pitch): the camera's position with y up, and degrees; yaw 0 looks to +z and grows to the
right (yaw 90 looks to -x), pitch grows downwards. Camera axes are (right, up, forward).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

POSE = 5
TURN_UNIT, PITCH_UNIT = 15.0, 60.0
"""Degrees in which networks are told turns and pitches."""


def cell_rays(height: int, width: int, fov: float) -> Tensor:
    """Unit rays in camera axes through the centres of a grid of cells: (height * width, 3), row by row from the top.

    ``fov`` is the full field of view in degrees, the same both ways.
    """
    reach = math.tan(math.radians(fov) / 2)
    x = ((torch.arange(width) + 0.5) / width * 2 - 1) * reach
    y = (1 - (torch.arange(height) + 0.5) / height * 2) * reach
    up, right = torch.meshgrid(y, x, indexing="ij")
    rays = torch.stack([right, up, torch.ones_like(up)], -1).reshape(-1, 3)
    return torch.nn.functional.normalize(rays, dim=-1)


def rotation(pose: Tensor) -> Tensor:
    """Camera-to-world rotation of poses (..., 5): (..., 3, 3), its columns right, up and forward."""
    yaw, pitch = torch.deg2rad(pose[..., 3]), torch.deg2rad(pose[..., 4])
    zero = torch.zeros_like(yaw)
    right = torch.stack([-yaw.cos(), zero, -yaw.sin()], -1)
    forward = torch.stack([-yaw.sin() * pitch.cos(), -pitch.sin(), yaw.cos() * pitch.cos()], -1)
    up = torch.linalg.cross(right, forward)
    return torch.stack([right, up, forward], -1)


def wrap(degrees: Tensor) -> Tensor:
    """An angle to [-180, 180)."""
    return torch.remainder(degrees + 180, 360) - 180


def motion(before: Tensor, after: Tensor, scale: float) -> Tensor:
    """Change of pose (..., 5) seen from the level camera: right, up, forward over ``scale``, turns over TURN_UNIT."""
    level = before.clone()
    level[..., 4] = 0
    step = torch.einsum("...ij,...i->...j", rotation(level), after[..., :3] - before[..., :3]) / scale
    turn = torch.stack([wrap(after[..., 3] - before[..., 3]), after[..., 4] - before[..., 4]], -1) / TURN_UNIT
    return torch.cat([step, turn], -1)


def move(before: Tensor, delta: Tensor, scale: float) -> Tensor:
    """Undo :func:`motion`: the pose (..., 5) that ``delta`` (..., 5) leads to; pitch stays within 90 degrees."""
    level = before.clone()
    level[..., 4] = 0
    position = before[..., :3] + torch.einsum("...ij,...j->...i", rotation(level), delta[..., :3] * scale)
    yaw = wrap(before[..., 3] + delta[..., 3] * TURN_UNIT)
    pitch = (before[..., 4] + delta[..., 4] * TURN_UNIT).clamp(-90, 90)
    return torch.cat([position, yaw[..., None], pitch[..., None]], -1)


def seen_from(step: Tensor, degrees: Tensor) -> Tensor:
    """A step (..., 3) of right, up, forward, as a level camera sees it that has turned right by so much (...)."""
    turn = torch.deg2rad(degrees)
    c, s = turn.cos(), turn.sin()
    right, up, forward = step.unbind(-1)
    return torch.stack([c * right - s * forward, up, s * right + c * forward], -1)


def viewpoint(poses: Tensor, scale: float) -> Tensor:
    """Where a view is taken and where it looks: poses (..., 5) to position over ``scale`` and heading (..., 6)."""
    return torch.cat([poses[..., :3] / scale, rotation(poses)[..., 2]], -1)


def viewpoint_distance(a: Tensor, b: Tensor) -> Tensor:
    """How far two views, as :func:`viewpoint` gives them, are apart: the angle between headings in radians plus the
    distance over the scale."""
    # From the chord, not the cosine, whose rounding makes angles near 0 jump by 0.02 degrees.
    chord = (a[..., 3:] - b[..., 3:]).norm(dim=-1)
    angle = 2 * torch.asin((chord / 2).clamp_max(1))
    return angle + (a[..., :3] - b[..., :3]).norm(dim=-1)
