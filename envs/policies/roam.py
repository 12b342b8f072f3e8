"""The roaming policy: on and on into what is open, by sight alone, so that a world without a map can be walked as well.

It steers by how far one can go at headings within its view (:mod:`envs.policies.clearance`) and by nothing else. In a
true world the walk map tells that; in a dream, the distances that the dream itself sees in its newest frame. So both
are walked by the same rules, where actions recorded elsewhere would lead a dream into the first wall that it makes up.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from envs.policies.body import Body, Script
from envs.policies.clearance import HEADINGS, Clearance
from envs.policies.moves import Move
from envs.policies.navigation import wrap


@dataclass(frozen=True)
class Sight:
    """What a family's roaming counts as too near to go on, as near enough to turn, and as far as it looks; units."""

    stop: float
    near: float
    most: float


SIGHTS = {
    "minecraft": Sight(stop=1.0, near=3.0, most=10.0),
    "dmlab": Sight(stop=0.6, near=1.0, most=5.0),
    "doom": Sight(stop=1.0, near=2.5, most=12.0),
}

SHARP = 0.3  # free way, as a share of the farthest, that a heading 30 degrees off must have more to be taken
HELD_UP = 0.2  # of a step's length: who moves less though he walks is held up
HOP, GIVE_UP = 2, 8  # ticks of that after which it hops, and after which it turns away


def sight_of(family: str) -> Sight:
    """What a family's roaming sees.

    Raises:
        ValueError: there is no such body.
    """
    if family not in SIGHTS:
        raise ValueError(
            f"expected a body of {', '.join(SIGHTS)} to roam, found {family}; take policy random"
        )
    return SIGHTS[family]


class Roam(Body):
    """Walks where there is room, turns towards the most open heading where there is none, now and then looks around.

    Args:
        family: whose body it is, a key of :data:`SIGHTS`.
        clearance: the free way at each of :data:`envs.policies.clearance.HEADINGS`, for the present pose.
        seed: of what is left to chance.

    Raises:
        ValueError: there is no such body.
    """

    def __init__(self, family: str, clearance: Clearance, seed: int = 0) -> None:
        self.sight = sight_of(family)
        super().__init__(family, seed)
        self._clearance = clearance

    def __call__(self, observation: Any, info: dict[str, Any]) -> Any:
        """The raw action for what was shown last."""
        self.open = self._clearance(np.asarray(info["pose"], np.float64))
        return super().__call__(observation, info)

    @property
    def ahead(self) -> float:
        """The free way straight ahead."""
        return float(self.open[len(HEADINGS) // 2])

    def run(self) -> Generator[Move, None, None]:
        """For ever: walk for a while, and at the end of one way in three look around and choose where to go on."""
        while True:
            self.level = float(self.rng.normal(3, 3)) if self.gait.smooth else 0.0
            yield from self.wander(int(self.rng.integers(30, 90)))
            if self.rng.random() < 0.35:
                yield from self.look_around()

    def wander(self, ticks: int) -> Script:
        """Walk, turning towards what is open; ``lean`` degrees to a side are as good as straight on for a while."""
        end, held, lean = self.tick + ticks, 0, 0.0
        sprint = self.rng.random() < 0.15
        while self.tick < end:
            if self.open.max() <= self.sight.near:
                yield from self.turn_away()
                held = 0
            if self.rng.random() < 0.04:
                lean = float(self.rng.uniform(-20, 20))
            go = self.ahead > self.sight.stop
            error = self._best(lean) if go else float(HEADINGS[int(self.open.argmax())])
            last = self.here
            yield Move(
                turn=self._turn(error, 0.6 * self.turn_rate if go else None) + self._tremble(0.4),
                tilt=self._tilt(self.level - self.pose[4]) + self._tremble(0.3),
                forward=int(go),
                jump=self.family == "minecraft" and held > HOP,
                sprint=sprint and go and self.ahead > 2 * self.sight.near,
            )
            lean *= 0.9
            held = held + 1 if go and math.dist(last, self.here) < HELD_UP * self.gait.speed else 0
            if held > GIVE_UP:
                yield from self.back_off()
                held = 0
        return True

    def turn_away(self) -> Script:
        """Turn on the spot, always the same way round, until there is room; after a whole turn, back off."""
        half = len(HEADINGS) // 2
        left, right = self.open[:half].sum(), self.open[half + 1 :].sum()
        side = math.copysign(1, right - left) if right != left else float(self.rng.choice([-1, 1]))
        turned, last = 0.0, float(self.pose[3])
        while self.open[half - 1 : half + 2].max() <= self.sight.near:
            if turned > 360:
                return (yield from self.back_off())
            yield Move(turn=self._turn(side * 90), tilt=self._tilt(self.level - self.pose[4]))
            turned += abs(wrap(float(self.pose[3]) - last))
            last = float(self.pose[3])
        return True

    def back_off(self) -> Script:
        """A few steps back and a turn to a side: there was no room, or what looked like room was none."""
        for _ in range(4):
            yield Move(forward=-1)
        return (yield from self.turn_by(float(self.rng.choice([-1, 1]) * self.rng.uniform(60, 150))))

    def look_around(self) -> Script:
        """Turn all round, then to one of the open ways that were seen, the likelier the farther it goes."""
        began, last, left = self.tick, float(self.pose[3]), 360.0
        side = float(self.rng.choice([-1, 1]))
        visited: list[tuple[float, float]] = []
        while left > 2 and self.tick < began + 120:
            visited.append((float(self.pose[3]), self.ahead))
            yield Move(turn=self._turn(side * left), tilt=self._tilt(self.level - self.pose[4]))
            left -= abs(wrap(float(self.pose[3]) - last))
            last = float(self.pose[3])
        room = np.array([max(0.0, far - self.sight.near) for _, far in visited])
        if room.sum() > 0:
            yaw = visited[int(self.rng.choice(len(visited), p=room / room.sum()))][0]
            yield from self.turn_to(yaw, near=4.0)
        return True

    def _best(self, lean: float) -> float:
        """The heading that is most open, those near ``lean`` being preferred."""
        farthest = self.sight.most
        worth = self.open / farthest - SHARP * np.abs(HEADINGS - lean) / HEADINGS[-1]
        return float(HEADINGS[int(worth.argmax())])


class LookAround(Body):
    """A script that needs no sight: look, turn all round, look; turn about, look behind, turn back, look; again."""

    def run(self) -> Generator[Move, None, None]:
        """For ever, to either side in turn, level as it began."""
        self.level, self.turn_rate = float(self.pose[4]), self.gait.turn
        side = float(self.rng.choice([-1, 1]))
        while True:
            yield from self.stay(8)
            yield from self.turn_by(side * 360)
            yield from self.stay(8)
            yield from self.turn_by(side * 180)
            yield from self.stay(8)
            yield from self.turn_by(-side * 180)
            side = -side
