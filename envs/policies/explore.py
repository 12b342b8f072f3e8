"""The exploring policy: a slow look around, then walks from goal to goal with many returns."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from envs.policies.moves import Move
from envs.policies.walker import Script, Walker


class Explore(Walker):
    """Goal-seeking walks, as TECO's collector makes them; half of the goals are places seen before."""

    def run(self) -> Generator[Move, None, None]:
        """Look around, then for ever: choose a goal, walk there, look, sometimes play about."""
        yield from self.stay(2)
        yield from self.turn_by(360 * self.rng.choice([-1, 1]), rate=0.8 * self.gait.turn)
        while True:
            self.level = self._new_level()
            back = self.rng.random() < 0.5 and self.tick > 30
            there = yield from (self._return() if back else self._go_on())
            if not there:
                yield from self.unstick()
            if self.rng.random() < 0.25:
                yield from self._play()
            if self.rng.random() < 0.06:
                yield from self.turn_by(360 * self.rng.choice([-1, 1]))

    def _return(self) -> Script:
        """Back to a view of 10 to 150 frames ago, and look at it as it was then."""
        age = int(self.rng.integers(14, min(130, self.tick - 1) + 1))
        earlier = self.trail[-age]
        arrived = yield from self.walk_to(
            (float(earlier[0]), float(earlier[2])), ticks=80, sprint=self._sprints(), glance=0.01, down=2.0
        )
        if arrived and self.rng.random() < 0.8:
            yield from self.turn_to(float(earlier[3]), float(earlier[4]))
            yield from self._scan()
        return arrived

    def _go_on(self) -> Script:
        places = self.places(2, 14 if self.family == "minecraft" else 8)
        if not places:
            return False
        there = self.map.centre(places[int(self.rng.integers(len(places)))])
        arrived = yield from self.walk_to(there, ticks=100, sprint=self._sprints(), glance=0.01, down=2.0)
        if self.rng.random() < 0.35:
            yield from self.turn_to(self.open_yaw())
            yield from self._scan()
        return arrived

    def _scan(self) -> Script:
        """A few frames of standing or of slow panning."""
        if self.rng.random() < 0.5:
            return (yield from self.stay(int(self.rng.integers(3, 10))))
        return (yield from self.turn_by(self.rng.choice([-1, 1]) * self.rng.uniform(20, 70), rate=5.0))

    def _play(self) -> Script:
        """What a player's fingers also do, so that a model knows every key: aside, back, hop, duck, click."""
        strafe, forward = (int(v) for v in self.rng.integers(-1, 2, 2))
        extra = self.rng.choice(
            ["none", "none", "jump", "sneak", "attack", "use"], p=[0.3, 0.3, 0.15, 0.1, 0.1, 0.05]
        )
        ticks = 1 if extra == "use" else int(self.rng.integers(3, 10))
        turn = float(self.rng.choice([0.0, 0.0, -1.0, 1.0]) * self.rng.uniform(2, 8))
        pressed = {} if extra == "none" else {str(extra): True}
        for _ in range(ticks):
            yield replace(Move(turn=turn, strafe=strafe, forward=forward), **pressed)
        return True

    def _sprints(self) -> bool:
        return bool(self.rng.random() < 0.25)

    def _new_level(self) -> float:
        """The pitch to hold on the next way: mostly ahead, now and then up or down."""
        if self.family != "minecraft":
            return float(self.rng.uniform(-12, 12)) if self.rng.random() < 0.1 else 0.0
        return float(self.rng.normal(6, 6) if self.rng.random() < 0.8 else self.rng.uniform(-30, 40))
