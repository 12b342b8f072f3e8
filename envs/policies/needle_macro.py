"""One needle by itself: turn away from what is in view, walk off, come back and look at it again."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

import gymnasium

from envs.policies.navigation import wrap
from envs.policies.walker import Move, Script, Walker

AWAY = (90.0, 150.0)  # degrees to turn away by
RETURN_FRAMES = 16  # the last turn takes at least this long, so that it can be dreamt blind as a whole
REST = 2  # frames of looking after the return
WALK = 24  # at most as many frames out; the way back takes about as long again


class NeedleMacro(Walker):
    """A closed loop from the present pose back to it; ``macro(observation, info)`` is None at the end.

    Raises:
        ValueError: the world tells no pose or has no walk map to find the way by.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], info: dict[str, Any], seed: int = 0) -> None:
        if info.get("pose") is None or not hasattr(env.unwrapped, "walkmap"):
            raise ValueError("the needle macro needs a world that tells its pose and its walk map")
        super().__init__(env, seed)
        self.frames_left: int | None = None  # known once the last turn begins; counts the action just given
        self.reset(info)

    def run(self) -> Generator[Move, None, None]:
        """Rest, turn away, walk off, walk home, and turn back in a turn of known length."""
        home = self.pose.copy()
        self.level = float(home[4])
        self.turn_rate = self.gait.turn
        yield from self.stay(REST)
        yield from self.turn_by(float(self.rng.choice([-1, 1]) * self.rng.uniform(*AWAY)))
        yield from self._walk_off_and_home((float(home[0]), float(home[2])))
        yield from self._turn_back(float(home[3]), float(home[4]))

    def _walk_off_and_home(self, home: tuple[float, float]) -> Script:
        steps = max(1, int(WALK * self.gait.speed / self.step))
        places = self.places(max(1, steps // 2), steps)
        if not places:  # nowhere to go: the turn alone has to do
            return (yield from self.turn_by(30.0))
        there = self.map.centre(places[int(self.rng.integers(len(places)))])
        yield from self.walk_to(there, ticks=WALK)
        yield from self.walk_to(home, ticks=2 * WALK)
        return (yield from self.drift_to(home, ticks=10))

    def _turn_back(self, yaw: float, pitch: float) -> Script:
        angle = wrap(yaw - float(self.pose[3]))
        if abs(angle) < AWAY[0] / 2:  # the way home ended looking there already: come from a side
            yield from self.turn_by(math.copysign(AWAY[0], -angle))
            angle = wrap(yaw - float(self.pose[3]))
        frames = max(RETURN_FRAMES, math.ceil(abs(angle) / (0.6 * self.gait.turn)))
        for left in range(frames, 0, -1):
            self.frames_left = left + REST
            turn, tilt = wrap(yaw - float(self.pose[3])) / left, (pitch - float(self.pose[4])) / left
            yield Move(turn=turn, tilt=tilt)
        for left in range(REST, 0, -1):
            self.frames_left = left
            yield Move()
        return True
