"""Pinhole pictures of a painted maze: cells of side 1, walls from y = 0 to y = 1, an open sky above."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.labmaze import kernels
from envs.labmaze.scene import Scene


def picture(scene: Scene, pose: NDArray[np.float64], fov: float, size: int) -> NDArray[np.uint8]:
    """The picture from a pose (x, y, z in cells, yaw and pitch in degrees): uint8 (size, size, 3)."""
    x, y, z, yaw, pitch = pose.tolist()
    if pitch != 0.0:
        return tilted_picture(scene, pose, fov, size)
    out = np.empty((size, size, 3), np.uint8)
    sin, cos, extent = _level_angles(yaw, fov)
    kernels.level(
        scene.wall,
        scene.sheets,
        scene.floor_sheet,
        scene.face_sheet,
        scene.sky,
        x,
        y,
        z,
        sin,
        cos,
        extent,
        out,
    )  # type: ignore[call-arg]
    return out


def tilted_picture(scene: Scene, pose: NDArray[np.float64], fov: float, size: int) -> NDArray[np.uint8]:
    """As ``picture``, always by the plain kernel that knows every pitch."""
    out = np.empty((size, size, 3), np.uint8)
    kernels.tilted(*_solid(scene), *_eye(pose), *_angles(pose, fov), out)  # type: ignore[call-arg]
    return out


def ids(scene: Scene, pose: NDArray[np.float64], fov: float, size: int) -> NDArray[np.int32]:
    """What each pixel's centre shows, int32 (size, size), in the numbers of the module ``ids``."""
    out = np.empty((size, size), np.int32)
    names = (scene.wall, scene.sheet_id, scene.sheet_decal, scene.decal_id, scene.masks)
    kernels.identify(*names, scene.floor_sheet, scene.face_sheet, *_eye(pose), *_angles(pose, fov), out)
    return out


def _solid(scene: Scene) -> tuple[NDArray[Any], ...]:
    return scene.wall, scene.sheets, scene.floor_sheet, scene.face_sheet, scene.sky


def _eye(pose: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(pose[0]), float(pose[1]), float(pose[2])


def _level_angles(yaw: float, fov: float) -> tuple[float, float, float]:
    """Sine and cosine of the yaw, half the picture's extent at distance 1."""
    turned = math.radians(yaw)
    return math.sin(turned), math.cos(turned), math.tan(math.radians(fov) / 2)


def _angles(pose: NDArray[np.float64], fov: float) -> tuple[float, float, float, float, float]:
    """As ``_level_angles``, and sine and cosine of the pitch."""
    pitch = math.radians(pose[4])
    return *_level_angles(float(pose[3]), fov), math.sin(pitch), math.cos(pitch)
