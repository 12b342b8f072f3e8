"""Poses of one dream as plain numbers: :mod:`worldsim.memory.geometry` without the cost of a tensor for each sum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit

from worldsim.memory.selection import CROWDING, REACH

Pose = Sequence[float]
_compiled: Any = njit(cache=True, nogil=True, error_model="numpy")


def rotation(pose: Pose) -> list[list[float]]:
    """:func:`worldsim.memory.geometry.rotation` of one pose, row by row."""
    yaw, pitch = math.radians(pose[3]), math.radians(pose[4])
    sy, cy, sp, cp = math.sin(yaw), math.cos(yaw), math.sin(pitch), math.cos(pitch)
    return [[-cy, -sy * sp, -sy * cp], [0.0, cp, -sp], [-sy, cy * sp, cy * cp]]


def wrap(degrees: float) -> float:
    """An angle to [-180, 180)."""
    return (degrees + 180) % 360 - 180


def motion(before: Pose, after: Pose, scale: float) -> list[float]:
    """:func:`worldsim.memory.geometry.motion` of one step."""
    yaw = math.radians(before[3])
    s, c = math.sin(yaw), math.cos(yaw)
    x, y, z = (after[i] - before[i] for i in range(3))
    right, forward = -c * x - s * z, -s * x + c * z
    return [
        right / scale,
        y / scale,
        forward / scale,
        wrap(after[3] - before[3]) / 15,
        (after[4] - before[4]) / 15,
    ]


def move(before: Pose, delta: Sequence[float], scale: float) -> list[float]:
    """:func:`worldsim.memory.geometry.move`, the inverse of :func:`motion`; pitch stays within 90 degrees."""
    yaw = math.radians(before[3])
    s, c = math.sin(yaw), math.cos(yaw)
    right, up, forward = (delta[i] * scale for i in range(3))
    return [
        before[0] - c * right - s * forward,
        before[1] + up,
        before[2] - s * right + c * forward,
        wrap(before[3] + delta[3] * 15),
        min(90.0, max(-90.0, before[4] + delta[4] * 15)),
    ]


@_compiled
def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """:func:`worldsim.memory.geometry.stand_distance` of two stands (6,)."""
    place = chord = 0.0
    for j in range(3):
        place += (a[j] - b[j]) ** 2
        chord += (a[3 + j] - b[3 + j]) ** 2
    return 2 * np.arcsin(min(np.sqrt(chord) / 2, 1.0)) + np.sqrt(place)


def stand(pose: Pose, scale: float) -> np.ndarray:
    """:func:`worldsim.memory.geometry.stand` of one pose: float64 (6,)."""
    yaw, pitch = math.radians(pose[3]), math.radians(pose[4])
    cp = math.cos(pitch)
    heading = -math.sin(yaw) * cp, -math.sin(pitch), math.cos(yaw) * cp
    return np.array((pose[0] / scale, pose[1] / scale, pose[2] / scale, *heading))


def relevant(stands: list[np.ndarray], target: np.ndarray, count: int) -> list[int]:
    """:func:`worldsim.memory.selection.relevant_views` of one dream: the best of N (6,) for a target, best first."""
    chosen: list[int] = _relevant(np.array(stands), target, count).tolist()
    return chosen


@_compiled
def _relevant(stands: np.ndarray, target: np.ndarray, count: int) -> np.ndarray:
    n = len(stands)
    cost = np.empty(n)
    for i in range(n):
        cost[i] = _distance(stands[i], target)
    chosen = np.empty(count, np.int64)
    for k in range(count):
        best = cost.argmin()
        chosen[k] = best
        for i in range(n):
            cost[i] += CROWDING * np.exp(-_distance(stands[i], stands[best]) / REACH)
        cost[best] = np.inf
    return chosen
