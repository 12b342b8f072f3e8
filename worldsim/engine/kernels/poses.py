"""Poses of one dream as plain numbers: :mod:`worldsim.models.geometry` without the cost of a tensor for each sum."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from worldsim.engine.kernels.layers import most_relevant
from worldsim.models.geometry import TURN_UNIT
from worldsim.models.memory.rays.selection import CROWDING, REACH

Pose = Sequence[float]


def rotation(pose: Pose) -> list[list[float]]:
    """:func:`worldsim.models.geometry.rotation` of one pose, row by row."""
    yaw, pitch = math.radians(pose[3]), math.radians(pose[4])
    sy, cy, sp, cp = math.sin(yaw), math.cos(yaw), math.sin(pitch), math.cos(pitch)
    return [[-cy, -sy * sp, -sy * cp], [0.0, cp, -sp], [-sy, cy * sp, cy * cp]]


def wrap(degrees: float) -> float:
    """An angle to [-180, 180)."""
    return (degrees + 180) % 360 - 180


def motion(before: Pose, after: Pose, scale: float) -> list[float]:
    """:func:`worldsim.models.geometry.motion` of one step."""
    yaw = math.radians(before[3])
    s, c = math.sin(yaw), math.cos(yaw)
    x, y, z = (after[i] - before[i] for i in range(3))
    right, forward = -c * x - s * z, -s * x + c * z
    return [
        right / scale,
        y / scale,
        forward / scale,
        wrap(after[3] - before[3]) / TURN_UNIT,
        (after[4] - before[4]) / TURN_UNIT,
    ]


def move(before: Pose, delta: Sequence[float], scale: float) -> list[float]:
    """:func:`worldsim.models.geometry.move`, the inverse of :func:`motion`; pitch stays within 90 degrees."""
    yaw = math.radians(before[3])
    s, c = math.sin(yaw), math.cos(yaw)
    right, up, forward = (delta[i] * scale for i in range(3))
    return [
        before[0] - c * right - s * forward,
        before[1] + up,
        before[2] - s * right + c * forward,
        wrap(before[3] + delta[3] * TURN_UNIT),
        min(90.0, max(-90.0, before[4] + delta[4] * TURN_UNIT)),
    ]


def viewpoint(pose: Pose, scale: float) -> np.ndarray:
    """:func:`worldsim.models.geometry.stand` of one pose: float64 (6,)."""
    yaw, pitch = math.radians(pose[3]), math.radians(pose[4])
    cp = math.cos(pitch)
    heading = -math.sin(yaw) * cp, -math.sin(pitch), math.cos(yaw) * cp
    return np.array((pose[0] / scale, pose[1] / scale, pose[2] / scale, *heading))


def relevant(
    viewpoints: list[np.ndarray], target: np.ndarray, count: int, penalty: np.ndarray | None = None
) -> list[int]:
    """:func:`.selection.relevant_views` of one dream: the best of N (6,) for a target, best first."""
    added = np.zeros(len(viewpoints)) if penalty is None else penalty
    chosen: list[int] = most_relevant(np.array(viewpoints), target, count, CROWDING, REACH, added).tolist()
    return chosen
