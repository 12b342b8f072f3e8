"""A path walked backwards, from the end of a trail of poses to its beginning, looking as on the way out."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence

import numpy as np

from envs.policies.body import Body
from envs.policies.moves import Move
from envs.policies.navigation import wrap

THERE = 0.75  # of a step's length: so near counts as having come to a pose
PATIENCE = 3  # ticks that a pose is waited for before the next one is sought
HIGHER = 0.3  # units that a pose must be above this one to be hopped to


class Retrace(Body):
    """Turns and tilts back by what was turned and tilted, and steps to where it was: inverse moves, in reverse order.

    It is led by the pose that it is told, a true one or a dream's own reckoning. Opposite keys alone would not lead
    back: bodies are carried on by what they did before, and a turn comes before the step of the same tick.

    Args:
        family: whose body it is.
        trail: poses of the way out (n, 5), the first one first, where it stands now last.
        seed: taken for the sake of other policies; nothing is left to chance.
    """

    def __init__(self, family: str, trail: Sequence[np.ndarray] | np.ndarray, seed: int = 0) -> None:
        super().__init__(family, seed)
        self._way = [np.asarray(pose, np.float64) for pose in trail]

    def run(self) -> Generator[Move, None, None]:
        """One pose after the other, the newest first; at the first of all, wait until it is reached."""
        for i, there in enumerate(self._way[-2::-1]):
            last = i == len(self._way) - 2
            for _ in range(PATIENCE * (2 if last else 1)):
                yield self._towards(there)
                if math.dist(self.here, (there[0], there[2])) < THERE * self.gait.speed:
                    break

    def _towards(self, there: np.ndarray) -> Move:
        dx, dz, a = there[0] - self.pose[0], there[2] - self.pose[2], math.radians(there[3])
        ahead, right = -dx * math.sin(a) + dz * math.cos(a), -dx * math.cos(a) - dz * math.sin(a)
        near = 0.4 * self.gait.speed
        return Move(
            turn=wrap(there[3] - self.pose[3]),
            tilt=float(there[4] - self.pose[4]),
            forward=int(math.copysign(abs(ahead) > near, ahead)),
            strafe=int(math.copysign(abs(right) > near, right)),
            jump=self.family == "minecraft" and there[1] - self.pose[1] > HIGHER,
        )
