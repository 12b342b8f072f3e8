"""The needle policy: look at a place, go away, come back, so that views return at every age."""

from __future__ import annotations

import math
from collections.abc import Generator

import numpy as np

from envs.policies.moves import Move
from envs.policies.navigation import wrap
from envs.policies.walker import Script, Walker

RANGES = ((4, 12), (18, 40), (48, 80))  # how old, in frames, the view may be when it returns


class Needle(Walker):
    """Cycles of looking, leaving and returning; the ages of what returns cover 0-16, 16-48 and 48-112."""

    def run(self) -> Generator[Move, None, None]:
        """For ever: one cycle of each range, in random order, and often on to another place between them."""
        yield from self.stay(1)
        while True:
            for kind in self.rng.permutation([0, 1, 2, 2]):
                self.level = float(self.rng.normal(5, 5)) if self.family == "minecraft" else 0.0
                yield from self.turn_to(self.open_yaw())
                yield from self.cycle(int(kind))
                if self.rng.random() < 0.6:
                    yield from self._move_on()

    def _move_on(self) -> Script:
        """Walk to another place."""
        places = self.places(3, 8 if self.family == "minecraft" else 5)
        if not places:
            return (yield from self.unstick())
        there = self.map.centre(places[int(self.rng.integers(len(places)))])
        arrived = yield from self.walk_to(there, ticks=50)
        return arrived or (yield from self.unstick())

    def cycle(self, kind: int) -> Script:
        """Look, be away until the view is as old as range ``kind`` wants it, come back, look the same way.

        The far end of a long absence holds a short cycle of its own.
        """
        age = int(self.rng.integers(*RANGES[kind]))
        home, pan = self.pose.copy(), float(self.rng.choice([-1, 1]) * self.rng.uniform(12, 50))
        frames = (3, 8, 16)[kind]
        began = self.tick
        yield from self._look(pan, frames)
        back_by = began + age
        if kind == 0:
            yield from self._wobble()
        else:
            away = kind == 2 or age >= 30
            if not (away and (yield from self._walk_away(home, back_by, nested=kind == 2))):
                yield from self._turn_away(back_by, home)
        yield from self.turn_to(float(home[3]), float(home[4]))
        if math.dist(self.here, (home[0], home[2])) > self.gait.near:
            yield from self.drift_to((float(home[0]), float(home[2])), ticks=8)
        return (yield from self._look(pan, frames + 2))

    def _look(self, pan: float, frames: int) -> Script:
        """Slow panning over ``pan`` degrees."""
        for _ in range(frames):
            yield Move(turn=pan / frames)
        return True

    def _wobble(self) -> Script:
        """A few quick looks aside, each back again at once."""
        for _ in range(int(self.rng.integers(2, 4))):
            side = float(self.rng.choice([-1, 1]) * self.rng.uniform(30, 55))
            yield from self.turn_by(side)
            yield from self.turn_by(-side)
        return True

    def _turn_away(self, back_by: int, home: np.ndarray) -> Script:
        """Turn in place, one way and back or all round, looking elsewhere until it is time."""
        side = float(self.rng.choice([-1, 1]))
        left = back_by - self.tick
        if left * self.turn_rate > 380 and self.rng.random() < 0.5:
            rate = float(np.clip(380 / left, 5, self.turn_rate))
            already = wrap(float(self.pose[3]) - float(home[3]))
            return (yield from self.turn_by(side * 360 - already, rate))
        away = float(np.clip(left * self.turn_rate * 0.4, 30, self.rng.uniform(50, 180)))
        yield from self.turn_by(side * away)
        while self.tick < back_by - 1.1 * away / self.turn_rate:
            yield from self._look(float(self.rng.uniform(-30, 30)), 4)
        return True

    def _walk_away(self, home: np.ndarray, back_by: int, nested: bool) -> Script:
        """Walk off, look about, be home again about ``back_by``; False if there is nowhere to go."""
        left = back_by - self.tick
        turns = 2.2 * 180 / self.turn_rate
        reach = self.gait.speed * max(left - turns, 6) / 2
        least, most = (1, max(2, int(reach / self.step)))
        places = self.places(max(least, (most + 1) // 2), min(most, 9))
        if not places:
            return False
        there = self.map.centre(places[int(self.rng.integers(len(places)))])
        out = self.tick
        yield from self.walk_to(there, ticks=max(4, int(0.4 * left)))
        out = self.tick - out
        if nested and back_by - self.tick - out > 24 and self.rng.random() < 0.6:
            yield from self.cycle(0)
        while self.tick < back_by - out - 6:
            yield from self.turn_by(float(self.rng.choice([-1, 1]) * self.rng.uniform(30, 90)), rate=8.0)
        if not (yield from self.walk_to((float(home[0]), float(home[2])), ticks=60)):
            yield from self.unstick()
            yield from self.walk_to((float(home[0]), float(home[2])), ticks=40)
        return True
