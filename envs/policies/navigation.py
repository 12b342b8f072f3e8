"""Finding the way: shortest walkable paths and free lines of sight over a world's walk map."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

Cell = tuple[int, int]
Point = tuple[float, float]


def wrap(degrees: float) -> float:
    """The same angle in [-180, 180)."""
    return (degrees + 180.0) % 360.0 - 180.0


def yaw_towards(here: Point, there: Point) -> float:
    """The yaw in degrees that looks from one (x, z) to another; 0 is +z, 90 is -x."""
    return math.degrees(math.atan2(here[0] - there[0], there[1] - here[1]))


class WalkMap:
    """The columns of a world that can be stood on, as ``env.unwrapped.walkmap()`` tells them.

    Args:
        heights: float32 (NX, NZ), height of the feet in each column, nan where nobody can stand.
        cell: side of a column in world units.
        origin: (x, z) of the corner of column (0, 0).
    """

    def __init__(self, heights: np.ndarray, cell: float, origin: Point) -> None:
        self.cell, self.origin = float(cell), (float(origin[0]), float(origin[1]))
        self.shape: Cell = (heights.shape[0], heights.shape[1])
        self._heights: list[list[float]] = heights.astype(np.float64).tolist()

    def column(self, point: Point) -> Cell:
        """The column that holds the point (x, z)."""
        i, j = ((p - o) / self.cell for p, o in zip(point, self.origin, strict=True))
        return (min(max(math.floor(i), 0), self.shape[0] - 1), min(max(math.floor(j), 0), self.shape[1] - 1))

    def centre(self, column: Cell) -> Point:
        """The middle (x, z) of a column."""
        return (
            self.origin[0] + (column[0] + 0.5) * self.cell,
            self.origin[1] + (column[1] + 0.5) * self.cell,
        )

    def height(self, column: Cell) -> float:
        """Height of the feet there; nan where nobody can stand or outside of the map."""
        i, j = column
        return self._heights[i][j] if 0 <= i < self.shape[0] and 0 <= j < self.shape[1] else math.nan

    def reachable(
        self, start: Cell, radius: int, up: float = 1.0, down: float = 1.0, goal: Cell | None = None
    ) -> dict[Cell, Cell]:
        """Every column within ``radius`` steps of ``start``, each with the one before it on a shortest path.

        A step goes to one of the four neighbours, at most ``up`` higher and ``down`` lower. Columns come
        in the order of their distance; ``start`` is its own predecessor and counts even if it is no place
        to stand (the walker may be in mid-air over it). With a ``goal`` the search ends once that is found.
        """
        before, steps = {start: start}, {start: 0}
        queue = deque([start])
        while queue and goal not in before:
            here = queue.popleft()
            if steps[here] == radius:
                continue
            level = self.height(here)
            for there in (
                (here[0] + 1, here[1]),
                (here[0], here[1] + 1),
                (here[0] - 1, here[1]),
                (here[0], here[1] - 1),
            ):
                climb = self.height(there) - (level if level == level else self.height(there))
                if there not in before and -down <= climb <= up:  # nan compares false
                    before[there], steps[there] = here, steps[here] + 1
                    queue.append(there)
        return before

    @staticmethod
    def path(before: dict[Cell, Cell], goal: Cell) -> list[Cell]:
        """The columns from the start of ``reachable`` to ``goal``, without the start."""
        found = []
        while before[goal] != goal:
            found.append(goal)
            goal = before[goal]
        return found[::-1]

    def is_straight(self, here: Point, there: Point, radius: float, climb: float = 0.1) -> bool:
        """Whether a body of this half width can go straight from here to there over level ground."""
        length = math.hypot(there[0] - here[0], there[1] - here[1])
        if length < 1e-9:
            return True
        side = ((there[1] - here[1]) / length * radius, (here[0] - there[0]) / length * radius)
        level = self.height(self.column(there))
        for k in range(1, (count := math.ceil(length / (0.25 * self.cell))) + 1):
            x, z = (a + (b - a) * k / count for a, b in zip(here, there, strict=True))
            for s in (-1, 1) if k < count else (0,):
                if not abs(self.height(self.column((x + s * side[0], z + s * side[1]))) - level) <= climb:
                    return False
        return True

    def view_depth(self, here: Point, yaw: float, most: float) -> float:
        """How far one can look along ``yaw`` before a column that cannot be stood on, or is much higher."""
        level, ray = self.height(self.column(here)), math.radians(yaw)
        step = 0.25 * self.cell
        for k in range(1, int(most / step) + 1):
            ahead = self.height(
                self.column((here[0] - math.sin(ray) * k * step, here[1] + math.cos(ray) * k * step))
            )
            if not ahead <= level + 1.5:
                return k * step
        return most
