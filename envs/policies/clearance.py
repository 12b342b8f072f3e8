"""How far one can go straight ahead and to either side of it within the view: what a policy steers by without a map."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs.policies.moves import GAITS

Array = NDArray[np.float64]

HEADINGS: Array = np.arange(-30.0, 31.0, 6.0)
"""Degrees to the right of where one looks at which it is asked; the middle one is straight ahead."""
UP, DOWN = 1.0, 3.0
"""The highest step that a body climbs and the deepest that it takes, in the world's units."""
FINE = 0.25  # of a column's side, between two places that are looked at
ROOM = 0.8  # of a gait's half width: what must be free; less than all of it, for bodies slide along walls

Clearance = Callable[[Array], Array]
"""Pose (5,) to the free way at each of :data:`HEADINGS` in the world's units, (11,)."""


def on_map(
    heights: NDArray[np.float32],
    cell: float,
    origin: tuple[float, float],
    pose: Array,
    width: float,
    most: float,
) -> Array:
    """The free way over a walk map, as ``env.unwrapped.walkmap()`` tells it, at each of :data:`HEADINGS`.

    A way ends before a column that nobody can stand on, that is more than :data:`UP` higher or more than :data:`DOWN`
    deeper than the one before it, or that lies outside of the map. Where the body itself stands does not end it.

    Args:
        heights: (NX, NZ), nan where nobody can stand; cell: side of a column; origin: (x, z) of the map's corner.
        pose: (5,); width: half of the body's; most: how far to look.

    Returns:
        (11,), at most ``most``.
    """
    step = FINE * cell
    yaw = np.deg2rad(pose[3] + HEADINGS)[:, None, None]
    along = np.arange(0, math.ceil(most / step) + 1)[None, :, None] * step
    side = np.array([-width, 0.0, width])[None, None, :]  # to the right of the way
    x = pose[0] - np.sin(yaw) * along - np.cos(yaw) * side
    z = pose[2] + np.cos(yaw) * along - np.sin(yaw) * side
    i, j = (np.floor((p - o) / cell).astype(int) for p, o in zip((x, z), origin, strict=True))
    inside = (i >= 0) & (i < heights.shape[0]) & (j >= 0) & (j < heights.shape[1])
    level = np.where(
        inside, heights[i.clip(0, heights.shape[0] - 1), j.clip(0, heights.shape[1] - 1)], np.nan
    )
    before, after = level[:, :-1], level[:, 1:]
    climb = after - np.where(np.isnan(before), after, before)
    free = ((climb <= UP) & (climb >= -DOWN)).min(2)  # nan compares false
    first = np.where(free.min(1), free.shape[1], free.argmin(1))
    return np.minimum(first * step, most)


def in_world(env: gymnasium.Env[Any, Any], most: float) -> Clearance:
    """The free way in a true world that has a walk map, as it is now."""
    world: Any = env.unwrapped
    width = ROOM * GAITS[world.family].width

    def clearance(pose: Array) -> Array:
        heights, cell, origin = world.walkmap()
        return on_map(heights, cell, origin, pose, width, most)

    return clearance
