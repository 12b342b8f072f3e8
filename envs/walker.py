"""A body that policies move by intentions: turn to a heading, walk to a place, stay, drift, glance."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

import gymnasium
import numpy as np

from envs.moves import GAITS, Move, to_action
from envs.navigation import Cell, Point, WalkMap, wrap, yaw_towards

EYE = 1.62  # blocks between a Minecraft player's feet and eyes

Script = Generator[Move, None, bool]


class Walker:
    """What every scripted policy is: a generator of moves that reads ``self.pose`` before each.

    It uses only ``info["pose"]``, ``env.unwrapped.walkmap()`` and ``.family``, so that it plays every world
    that has them, and it is a function of the world's seed and its own.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], seed: int = 0) -> None:
        world: Any = env.unwrapped
        self._env = world
        self._seed, self._resets = int(seed), 0
        self.family: str = world.family
        self.done = False
        self.gait = GAITS[self.family]

    def reset(self, info: dict[str, Any]) -> None:
        """Begin an episode from the ``info`` of the environment's reset."""
        self.rng = np.random.default_rng([self._seed, self._resets])
        self._resets += 1
        self.map = WalkMap(*self._env.walkmap())
        self.trail: list[np.ndarray] = []
        self._rate = 0.0
        self.level = 0.0
        # Half of the mazes are walked as TECO's collector does, in turns of 17 degrees; half more finely.
        self.turn_rate = (
            self.gait.turn if self.rng.random() < 0.5 else self.gait.turn * self.rng.uniform(0.6, 0.95)
        )
        self.pose = np.asarray(info["pose"], np.float64)
        self._script = self.run()

    def __call__(self, observation: Any, info: dict[str, Any]) -> Any:
        """The raw action for what the environment showed last."""
        self.pose = np.asarray(info["pose"], np.float64)
        self.trail.append(self.pose)
        return to_action(self.family, next(self._script))

    def run(self) -> Generator[Move, None, None]:
        """The policy itself, as an endless generator."""
        raise NotImplementedError

    @property
    def here(self) -> Point:
        """Where the camera is, (x, z)."""
        return float(self.pose[0]), float(self.pose[2])

    @property
    def rest(self) -> Point:
        """Where the body comes to rest if it is let go now, (x, z)."""
        last = self.trail[-2] if len(self.trail) > 1 else self.pose
        x, z = (float(self.pose[k] + self.gait.slide * (self.pose[k] - last[k])) for k in (0, 2))
        return x, z

    @property
    def step(self) -> float:
        """The length of a step of :meth:`places`, in the world's units."""
        return self.map.cell * self.gait.stride

    @property
    def tick(self) -> int:
        """How many frames were seen since the reset."""
        return len(self.trail)

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

    def drift_to(self, there: Point, ticks: int = 12, near: float | None = None) -> Script:
        """Go there without turning: forward, back, sideways."""
        near = self.gait.near if near is None else near
        for _ in range(ticks):
            dx, dz = there[0] - self.rest[0], there[1] - self.rest[1]
            if math.hypot(dx, dz) <= near:
                return True
            a = math.radians(self.pose[3])
            ahead, right = -dx * math.sin(a) + dz * math.cos(a), -dx * math.cos(a) - dz * math.sin(a)
            yield Move(
                forward=int(math.copysign(abs(ahead) > 0.6 * near, ahead)),
                strafe=int(math.copysign(abs(right) > 0.6 * near, right)),
                turn=self._tremble(0.2),
            )
        return False

    def walk_to(
        self, there: Point, ticks: int, sprint: bool = False, glance: float = 0.0, down: float = 1.0
    ) -> Script:
        """Walk a shortest path; False when there is none, when stuck, or when the ticks are used up.

        Args:
            glance: chance per tick of stopping to look to a side.
            down: the deepest step to take; 1 keeps to paths that lead back as well.
        """
        start = self.map.column(self.here)
        goal = self.map.column(there)
        before = self.map.reachable(start, radius=64 * self.gait.stride, down=down, goal=goal)
        if goal not in before:
            return False
        points = [*[self.map.centre(c) for c in self.map.path(before, goal)][:-1], there]
        end, i, standing = self.tick + ticks, 0, 0
        while self.tick < end:
            ahead = range(min(i + 5, len(points) - 1), i, -1)
            i = next((k for k in ahead if self.map.is_straight(self.here, points[k], self.gait.width)), i)
            distance = math.dist(self.here, points[i])
            if math.dist(self.rest, points[i]) < self.gait.near and i == len(points) - 1:
                return True
            if distance < max(self.gait.near, 0.3 * self.map.cell) and i < len(points) - 1:
                i += 1
            if glance and self.rng.random() < glance:
                yield from self.glance()
            error = wrap(yaw_towards(self.here, points[i]) - self.pose[3])
            go = abs(error) < (35 if distance > 0.6 * self.map.cell else 15)
            last = self.here
            yield Move(
                turn=self._turn(error) + self._tremble(0.4),
                tilt=self._tilt(self.level - self.pose[4]) + self._tremble(0.3),
                forward=int(go),
                jump=go and (self._step_ahead(points[i]) or standing > 4),
                sprint=sprint and go and distance > 1,
            )
            standing = standing + 1 if go and math.dist(last, self.here) < 0.2 * self.gait.speed else 0
            if standing > 10:
                return False
        return False

    def glance(self) -> Script:
        """Stop, look to a side, look back."""
        yaw, side = float(self.pose[3]), self.rng.choice([-1, 1]) * self.rng.uniform(40, 110)
        yield from self.turn_to(wrap(yaw + side))
        yield from self.stay(int(self.rng.integers(0, 4)))
        return (yield from self.turn_to(yaw))

    def unstick(self) -> Script:
        """Step back and aside, hopping, after the map promised a way that is none."""
        back, side = -1 if self.rng.random() < 0.7 else 1, int(self.rng.integers(-1, 2))
        for k in range(6):
            yield Move(
                forward=back, strafe=side, jump=self.family == "minecraft" and k > 1, turn=self._tremble(6)
            )
        return True

    def places(self, least: int, most: int) -> list[Cell]:
        """Columns between ``least`` and ``most`` steps away that lead back as well."""
        start = self.map.column(self.here)
        least, most = least * self.gait.stride, most * self.gait.stride
        near = self.map.reachable(start, least - 1) if least > 0 else {}
        return [c for c in self.map.reachable(start, most) if c not in near]

    def open_yaw(self, tries: int = 4) -> float:
        """A heading with something to see: the deepest of a few random ones."""
        yaws = self.rng.uniform(-180, 180, tries)
        return float(max(yaws, key=lambda yaw: self.map.view_depth(self.here, yaw, 8 * self.map.cell)))

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

    def _step_ahead(self, there: Point) -> bool:
        """Whether a block to climb lies between the feet and the next metre of the way."""
        if self.family != "minecraft":
            return False
        feet, distance = float(self.pose[1]) - EYE, math.dist(self.here, there)
        if distance < 1e-6:
            return False
        for reach in (0.5, 0.9):
            f = min(1.0, reach / distance)
            at = tuple(a + (b - a) * f for a, b in zip(self.here, there, strict=True))
            if self.map.height(self.map.column((at[0], at[1]))) > feet + 0.4:
                return True
        return False
