"""A policy that digs and places what stands before it, looks away and comes back to see what it has done.

Other policies press these keys in one frame of a hundred, so that whoever learns from them learns that nothing changes.
"""

from __future__ import annotations

from collections.abc import Generator

from envs.policies.body import Body, Script
from envs.policies.moves import Move

KINDS = ("dig", "place", "walk", "turn", "glance")
ODDS = (0.32, 0.35, 0.15, 0.08, 0.1)


class Build(Body):
    """Changes the world, walks a little, and looks again; it needs poses alone.

    Args:
        family: whose body it is. One without keys for it (``dmlab``) presses in vain.
    """

    def run(self) -> Generator[Move, None, None]:
        """For ever."""
        while True:
            kind = KINDS[int(self.rng.choice(len(KINDS), p=ODDS))]
            yield from getattr(self, f"do_{kind}")()

    def do_dig(self) -> Script:
        """Press once, or go on pressing, which digs deeper."""
        yield from self._look()
        ticks = 1 if self.rng.random() < 0.5 else int(self.rng.integers(4, 16))
        return (yield from self._press(Move(attack=True), ticks))

    def do_place(self) -> Script:
        """Put one thing down, or a few while turning."""
        yield from self._look()
        if self.rng.random() < 0.5:
            return (yield from self._press(Move(use=True), 1))
        turn = float(self.rng.uniform(0, 0.6) * self.rng.choice([-1, 1])) * self.turn_rate
        return (yield from self._press(Move(use=True, turn=turn), int(self.rng.integers(4, 12))))

    def do_walk(self) -> Script:
        """Forward or back, hopping where that may help."""
        hops, ahead = self.rng.random() < 0.5, 1 if self.rng.random() < 0.7 else -1
        for _ in range(int(self.rng.integers(4, 20))):
            yield Move(forward=ahead, jump=hops, turn=self._tremble(0.5))
        return True

    def do_turn(self) -> Script:
        """To another side."""
        return (yield from self.turn_by(float(self.rng.choice([-1, 1]) * self.rng.uniform(20, 160))))

    def do_glance(self) -> Script:
        """Away from what was done, and back to it."""
        yaw, pitch = float(self.pose[3]), float(self.pose[4])
        away = float(self.rng.choice([-1, 1]) * self.rng.uniform(50, 140))
        yield from self.turn_to(yaw + away, float(self.rng.uniform(-10, 40)))
        yield from self.stay(int(self.rng.integers(1, 5)))
        return (yield from self.turn_to(yaw, pitch))

    def _look(self) -> Script:
        """At the ground within reach, at something to stand before, or where the eyes are."""
        if self.rng.random() < 0.7:
            low, high = (0, 25) if self.rng.random() < 0.2 else (22, 50)
            self.level = float(self.rng.uniform(low, high))
        return (yield from self.turn_to(float(self.pose[3])))

    def _press(self, move: Move, ticks: int) -> Script:
        for _ in range(ticks):
            yield move
        return (yield from self.stay(int(self.rng.integers(1, 8))))
