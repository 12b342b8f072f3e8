"""A body that policies move by intentions which need no map: turn to a heading, turn by an angle, stay."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Any

import numpy as np

from envs.policies.moves import GAITS, Move, to_action
from envs.policies.navigation import Point, wrap

Script = Generator[Move, None, bool]
REMEMBERED = 160
"""Poses that are kept of the way here: more than any policy looks back."""


class Body:
    """A generator of moves that reads ``self.pose`` before each; it needs no more than ``info["pose"]``.

    It is a function of the poses it was told and of its seed.

    Raises:
        ValueError: nobody knows how a body of this family moves.
    """

    def __init__(self, family: str, seed: int = 0) -> None:
        if family not in GAITS:
            raise ValueError(f"expected a body of {', '.join(GAITS)}, found {family}; take policy random")
        self._seed, self._resets = int(seed), 0
        self.family = family
        self.done = False
        self.gait = GAITS[family]

    def reset(self, info: dict[str, Any]) -> None:
        """Begin an episode from the ``info`` of the environment's reset."""
        self.rng = np.random.default_rng([self._seed, self._resets])
        self._resets += 1
        self.trail: deque[np.ndarray] = deque(maxlen=REMEMBERED)
        self._ticks = 0
        self._rate = 0.0
        self.level = 0.0
        # Half of the mazes are walked as TECO's collector does, in turns of 17 degrees; half more finely.
        self.turn_rate = (
            self.gait.turn if self.rng.random() < 0.5 else self.gait.turn * self.rng.uniform(0.6, 0.95)
        )
        self.pose = np.asarray(info["pose"], np.float64)
        self._script = self.run()

    def __call__(self, observation: Any, info: dict[str, Any]) -> Any | None:
        """The raw action for what the environment showed last; None, and ``done``, when the policy has ended."""
        self.pose = np.asarray(info["pose"], np.float64)
        self.trail.append(self.pose)
        self._ticks += 1
        move = next(self._script, None)
        self.done = move is None
        return None if move is None else to_action(self.family, move)

    def run(self) -> Generator[Move, None, None]:
        """The policy itself, as a generator of moves, endless or not."""
        raise NotImplementedError

    @property
    def here(self) -> Point:
        """Where the camera is, (x, z)."""
        return float(self.pose[0]), float(self.pose[2])

    @property
    def tick(self) -> int:
        """How many frames were seen since the reset."""
        return self._ticks

    def stay(self, ticks: int) -> Script:
        """Stand still, the hand not quite steady."""
        for _ in range(ticks):
            yield Move(turn=self._tremble(0.3), tilt=self._tremble(0.2))
        return True

    def turn_to(
        self, yaw: float, pitch: float | None = None, rate: float | None = None, near: float = 2.0
    ) -> Script:
        """Turn until yaw and pitch are within ``near`` degrees."""
        pitch = self.level if pitch is None else pitch
        for _ in range(90):
            error, tilt = wrap(yaw - self.pose[3]), pitch - self.pose[4]
            if abs(error) <= near and abs(tilt) <= near:
                break
            yield Move(turn=self._turn(error, rate), tilt=self._tilt(tilt))
        self._rate = 0.0
        return True

    def turn_by(self, degrees: float, rate: float | None = None) -> Script:
        """Turn by a signed angle, which may be a whole turn and more."""
        left, last = degrees, float(self.pose[3])
        for _ in range(120):
            if abs(left) < 2.0:
                break
            yield Move(turn=self._turn(left, rate), tilt=self._tilt(self.level - self.pose[4]))
            left -= wrap(float(self.pose[3]) - last)
            last = float(self.pose[3])
        self._rate = 0.0
        return True

    def _turn(self, error: float, rate: float | None = None) -> float:
        most = self.turn_rate if rate is None else rate
        if not self.gait.smooth:
            return float(np.clip(error, -most, most))
        wanted = float(np.clip(0.5 * error, -most, most)) if abs(error) > 1 else error
        self._rate += float(np.clip(wanted - self._rate, -5, 5))
        return float(np.clip(self._rate, -abs(error), abs(error)))

    def _tilt(self, error: float) -> float:
        return float(np.clip(0.5 * error if abs(error) > 1 else error, -self.gait.tilt, self.gait.tilt))

    def _tremble(self, degrees: float) -> float:
        return float(self.rng.normal(0, degrees)) if self.gait.smooth else 0.0
