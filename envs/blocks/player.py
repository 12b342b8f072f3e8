"""A player in a grid of nodes: turns, walks, digs and places as MineRL's actions say, in any world of nodes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs.blocks import physics

COOLDOWN = 4  # ticks between two nodes broken, or two placed
HEADROOM = 8  # cells above the grid in which an eye may be
EMPTY = 0  # the node number of air
SetNode = Callable[[int, int, int, int], None]  # x, y, z of the cell, and its new node


class Player:
    """One body, its camera and its hands.

    Args:
        grid: uint8 (NX, NY, NZ) node numbers, 0 is air; only ``set_node`` changes it.
        solid: bool (256,) by node number.
        water: the liquid's number.
        fixed: the number of the node that cannot be dug; -1 for none.
        in_hand: the node that is placed before any was dug.
        set_node: changes a cell of the grid, and whatever the world keeps beside it.
        name: of the world, for messages.
    """

    def __init__(
        self,
        grid: NDArray[np.uint8],
        solid: NDArray[np.bool_],
        water: int,
        fixed: int,
        in_hand: int,
        set_node: SetNode,
        name: str,
    ) -> None:
        self.grid, self.solid, self.water, self.fixed, self.in_hand = grid, solid, water, fixed, in_hand
        self.set_node, self.name = set_node, name
        self.yaw = self.pitch = 0.0
        self.body = np.zeros(physics.BODY)
        self.rest = {"attack": 0, "use": 0}

    def spawn_at(self, x: float, y: float, z: float, yaw: float) -> None:
        """Stand with the feet at a point, looking level along ``yaw``, in [-180, 180)."""
        self.body[:] = (x, y, z, 0.0, 0.0, 0.0, 1.0)
        self.yaw, self.pitch = yaw, 0.0

    def place(self, pose: ArrayLike) -> None:
        """Put the eye at (x, y, z, yaw, pitch), at rest.

        Raises:
            ValueError: the pose is not five finite numbers inside the world.
        """
        p = np.asarray(pose, np.float64)
        if p.shape != (5,) or not np.isfinite(p).all():
            raise ValueError(
                f"{self.name}: expected a pose of five finite numbers (x, y, z, yaw, pitch), found {pose!r}"
            )
        nx, ny, nz = self.grid.shape
        limits = (nx, ny + HEADROOM, nz)
        if not all(0 <= v < n for v, n in zip(p[:3], limits, strict=True)):
            raise ValueError(
                f"{self.name}: expected a position from 0 to below {limits}, found {p[:3].tolist()}"
            )
        self.body[:] = (p[0], p[1] - physics.EYE, p[2], 0.0, 0.0, 0.0, 0.0)
        self._turn(float(p[3]), float(p[4]))

    @property
    def pose(self) -> NDArray[np.float64]:
        """float64 (x, y, z, yaw, pitch) of the eye, in cells and degrees."""
        x, y, z = self.body[:3]
        return np.array([x, y + physics.EYE, z, self.yaw, self.pitch])

    def step(self, action: dict[str, Any]) -> None:
        """Turn the camera, break or place a node, move for one tick."""
        pitch, yaw = (float(a) for a in action["camera"])
        self._turn(self.yaw + yaw, self.pitch + pitch)
        for name, act in (("attack", self._attack), ("use", self._use)):
            self.rest[name] = max(0, self.rest[name] - 1)
            if action[name] and self.rest[name] == 0 and act():
                self.rest[name] = COOLDOWN
        physics.tick(
            self.grid, self.solid, self.water, self.body, self.yaw,
            float(int(action["forward"]) - int(action["back"])), float(int(action["right"]) - int(action["left"])),
            bool(action["jump"]), bool(action["sneak"]), bool(action["sprint"]),
        )  # fmt: skip

    def _turn(self, yaw: float, pitch: float) -> None:
        self.yaw = (yaw + 180.0) % 360.0 - 180.0
        self.pitch = min(90.0, max(-90.0, pitch))

    def _aim(self) -> tuple[int, ...]:
        x, y, z, yaw, pitch = self.pose
        yaw, pitch = math.radians(yaw), math.radians(pitch)
        way = -math.sin(yaw) * math.cos(pitch), -math.sin(pitch), math.cos(yaw) * math.cos(pitch)
        aim: tuple[int, ...] = physics.point_at(self.grid, self.water, x, y, z, *way, physics.REACH)
        return aim

    def _attack(self) -> bool:
        x, y, z = self._aim()[:3]
        if x < 0 or self.grid[x, y, z] == self.fixed:
            return False
        self.in_hand = int(self.grid[x, y, z])
        self.set_node(x, y, z, EMPTY)
        return True

    def _use(self) -> bool:
        aim = self._aim()
        x, y, z = aim[3:]
        inside = aim[0] >= 0 and all(0 <= v < n for v, n in zip((x, y, z), self.grid.shape, strict=True))
        if not inside or self.grid[x, y, z] not in (EMPTY, self.water) or self._would_trap(x, y, z):
            return False
        self.set_node(x, y, z, self.in_hand)
        return True

    def _would_trap(self, x: int, y: int, z: int) -> bool:
        """Whether the node in hand would stand in the player's own body."""
        feet, old = self.body[:3], self.grid[x, y, z]
        clear = physics.free(self.grid, self.solid, *feet)
        self.grid[x, y, z] = self.in_hand
        blocked = not physics.free(self.grid, self.solid, *feet)
        self.grid[x, y, z] = old
        return bool(clear and blocked)
