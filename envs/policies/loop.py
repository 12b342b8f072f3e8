"""Loops of navigation, as LoopNav has them (Lian et al. 2025): A to B and back, or A to B to C and back to A."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import gymnasium

from envs.policies.moves import Move
from envs.policies.navigation import Cell, Point
from envs.policies.walker import Script, Walker

SLOW = 3.0
"""Times the ticks that a way would take without a bend, after which it is given up."""
SHORT = 0.8
"""Share of the range that a leg must have come to; in a small world it is walked by way of several places."""


class Loop(Walker):
    """Look around at A, walk ``range`` units to B (and as far again to C), then back to A, looking as at first.

    A call gives None once A is reached again. ``marks`` are the ticks at which each leg began, the last one being the
    way back; ``arrived`` says whether every place was come to.

    Args:
        legs: ways out: 1 is A to B to A, 2 is A to B to C to A.
        range: length of each, along the way walked, in the world's units.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], seed: int = 0, *, legs: int = 1, range: float = 5.0
    ) -> None:
        super().__init__(env, seed)
        self._legs, self._range = legs, range
        self.marks: list[int] = []
        self.arrived = False
        self._by: list[Point] = []

    def run(self) -> Generator[Move, None, None]:
        """The whole loop, once."""
        self.marks, self.level = [], 0.0
        home = self.pose.copy()
        yield from self.turn_by(360.0, rate=0.8 * self.gait.turn)
        reached, self._by = True, []
        for _ in range(self._legs):
            self.marks.append(self.tick)
            reached = (yield from self._out()) and reached
        self.marks.append(self.tick)
        # One leg is walked back by the places that it went by, so that the way back is as long; of two, straight to A.
        places = [*(self._by[-2::-1] if self._legs == 1 else ()), (float(home[0]), float(home[2]))]
        back = True
        for there in places:
            back = (yield from self.walk_to(there, self._patience(self._range * self._legs))) and back
        yield from self.turn_to(float(home[3]), float(home[4]))
        self.arrived = reached and back

    def _out(self) -> Script:
        """On to a place so far away, by way of others where no single one is."""
        left = self._range
        for _ in range(12):
            ways = self._ways(left)
            if not ways:
                return False
            nearest = min(abs(n * self.map.cell - left) for n in ways.values())
            places = [c for c, n in ways.items() if abs(n * self.map.cell - left) <= nearest]
            goal = places[int(self.rng.integers(len(places)))]
            if not (yield from self.walk_to(self.map.centre(goal), self._patience(left))):
                return False
            self._by.append(self.map.centre(goal))
            left -= ways[goal] * self.map.cell
            if left < (1 - SHORT) * self._range:
                return True
        return False

    def _ways(self, most: float) -> dict[Cell, int]:
        """Steps to each column from which one comes back, none of them farther than ``most`` units by much."""
        before = self.map.reachable(self.map.column(self.here), int(most / self.map.cell) + 1)
        steps: dict[Cell, int] = {}
        for cell, last in before.items():
            steps[cell] = 0 if last == cell else steps[last] + 1
        return {cell: n for cell, n in steps.items() if n > 0}

    def _patience(self, units: float) -> int:
        return int(SLOW * units / self.gait.speed) + 60
