"""A wall across the view, seen by a camera whose picture of a wall 1 away is 1.4 wide."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from worldsim.models.geometry import cell_rays

SIDE, FOV = 64, 2 * math.degrees(math.atan(0.7))
HERE = [0.0, 0, 0, 0, 0]


def wall(ahead: float, side: int = SIDE) -> NDArray[np.float32]:
    """Log distances (side, side) of a wall so far ahead."""
    rays = cell_rays(side, side, FOV).numpy()
    return np.log(ahead / rays[:, 2]).reshape(side, side).astype(np.float32)
