"""A body that finds its way by a world's walk map: walk to a place, drift, glance, get free again."""

from __future__ import annotations

import math
from typing import Any

import gymnasium

from envs.policies.body import Body, Script
from envs.policies.moves import Move
from envs.policies.navigation import Cell, Point, WalkMap, wrap, yaw_towards

EYE = 1.62  # blocks between a Minecraft player's feet and eyes


class Walker(Body):
    """What every policy is that finds its way by a map.

    It uses only ``info["pose"]``, ``env.unwrapped.walkmap()`` and ``.family``, so that it plays every world
    that has them, and it is a function of the world's seed and its own.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], seed: int = 0) -> None:
        world: Any = env.unwrapped
        super().__init__(world.family, seed)
        self._env = world

    def reset(self, info: dict[str, Any]) -> None:
        """Begin an episode from the ``info`` of the environment's reset."""
        self.map = WalkMap(*self._env.walkmap())
        super().reset(info)

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
