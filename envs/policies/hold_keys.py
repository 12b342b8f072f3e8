"""A policy that holds keys as a person does who knows no map: into walls, along them, and late away from them.

Other policies steer clear of walls, so what a wall looks like from right before it, and what happens to who goes on
walking there, is in no walk of theirs; it is what a window shows to whoever holds W.
"""

from __future__ import annotations

from collections.abc import Generator

from envs.policies.body import Body, Script
from envs.policies.moves import Move

NOWHERE = 0.1  # of a step's length: who comes no further than this is stopped
PATIENCE = (3, 30)  # ticks that a person goes on pressing where he is stopped
KINDS = ("walk", "arc", "turn", "sidle", "stay", "dig", "place")
ODDS = (0.38, 0.2, 0.22, 0.06, 0.05, 0.06, 0.03)


class HoldKeys(Body):
    """Presses one thing for a while, then another; it needs poses, to notice that it comes no further.

    Args:
        family: whose body it is.
    """

    def run(self) -> Generator[Move, None, None]:
        """For ever."""
        self.level = float(self.pose[4])
        while True:
            kind = KINDS[int(self.rng.choice(len(KINDS), p=ODDS))]
            yield from getattr(self, f"do_{kind}")()

    def do_walk(self) -> Script:
        """Forward, hopping where that may help, until the way ends and patience with it."""
        return (yield from self._forward(int(self.rng.integers(10, 70)), 0.0))

    def do_arc(self) -> Script:
        """Forward, turning all the while."""
        rate = float(self.rng.uniform(0.1, 0.6) * self.rng.choice([-1, 1])) * self.turn_rate
        return (yield from self._forward(int(self.rng.integers(5, 30)), rate))

    def _forward(self, ticks: int, rate: float) -> Script:
        patience, stopped = int(self.rng.integers(*PATIENCE)), 0
        hops, sprint = self.rng.random() < 0.4, self.rng.random() < 0.15
        for _ in range(ticks):
            last = self.here
            yield Move(turn=rate, forward=1, jump=hops and stopped > 1, sprint=sprint)
            far = max(abs(a - b) for a, b in zip(last, self.here, strict=True))
            stopped = stopped + 1 if far < NOWHERE * self.gait.speed else 0
            if stopped > patience:
                return (yield from self.do_turn())
        return True

    def do_turn(self) -> Script:
        """By an angle, most often a wide one, the view a little up or down now and then."""
        if self.rng.random() < 0.3:
            self.level = float(self.rng.uniform(-15, 30)) if self.family == "minecraft" else self.level
        return (yield from self.turn_by(float(self.rng.choice([-1, 1]) * self.rng.triangular(15, 90, 200))))

    def do_sidle(self) -> Script:
        """Sideways, straight or slanting back."""
        strafe, forward = int(self.rng.choice([-1, 1])), int(self.rng.integers(-1, 1))
        for _ in range(int(self.rng.integers(4, 20))):
            yield Move(strafe=strafe, forward=forward)
        return True

    def do_stay(self) -> Script:
        """Nothing."""
        return (yield from self.stay(int(self.rng.integers(3, 15))))

    def do_dig(self) -> Script:
        """Attack what is before one, looked down at; then look at the hole, and step back from it at times."""
        return (yield from self._work(Move(attack=True), int(self.rng.integers(4, 20))))

    def do_place(self) -> Script:
        """Put something where one looks, then look at it."""
        return (yield from self._work(Move(use=True), int(self.rng.integers(1, 4))))

    def _work(self, move: Move, ticks: int) -> Script:
        level = self.level
        if self.family == "minecraft":
            self.level = float(self.rng.uniform(10, 55))
        yield from self.turn_to(float(self.pose[3]))
        for _ in range(ticks):
            yield move
        if self.rng.random() < 0.5:
            for _ in range(int(self.rng.integers(2, 8))):
                yield Move(forward=-1)
        self.level = level
        return (yield from self.turn_to(float(self.pose[3])))
