"""LabMaze: a DMLab-like world as a gymnasium environment, bit for bit determined by seed and actions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from envs import actions
from envs.labmaze import colours, decals, ids, maze, renderer, scene
from envs.true_world import TrueWorld

DEGREES_PER_LOOK = 0.06  # 283 looks are one turn of TECO's data, 17 degrees
FORWARD, STRAFE = 0.25, 0.20  # cells a step; a diagonal is no faster than FORWARD
RADIUS = 0.25  # the player is a disc, cells
MAX_PITCH = 60.0  # degrees, by actions; teleport may look straight up or down
STANDING, CROUCHED = 0.5, 0.3  # height of the eye, cells
JUMP_SPEED, GRAVITY = 0.12, 0.05  # cells a step (squared): five steps in the air, 0.21 cells high
LOWEST, HIGHEST = 0.05, 0.95  # heights of the eye that can be drawn, cells


class LabMazeEnv(TrueWorld):
    """Walk a 9x9 maze with DeepMind Lab's seven integers; one step is one decision, without momentum.

    World units are cells of the maze, walls included, x to the right and z down its text.
    Observation: ``pov`` uint8 (size, size, 3); with ``ids=True`` also ``ids`` int32 (size, size): sky 0,
    floor 1000 + index in ``textures.FLOORS``, wall 2000 + index in ``textures.WALLS``, decal 3000 + design
    (0..79); the module ``ids`` reads them. Info: ``pose`` float64 (5,) = x, y, z of the eye, yaw, pitch;
    ``world_seed``, whose reset gives this world again.

    Args:
        size: height and width of the picture in pixels, at least 1.
        max_steps: truncate an episode after so many steps; None for never.
        render_mode: None or "rgb_array".
        ids: add the id picture to the observation.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012 (gymnasium's own attribute)
    label = "LabMaze"
    fov = 75.0
    backend = "embedded"
    family = "dmlab"
    version = 1

    def __init__(
        self,
        size: int = 64,
        max_steps: int | None = None,
        render_mode: str | None = None,
        ids: bool = False,
    ) -> None:
        super().__init__(size, max_steps, render_mode)
        self.ids = ids
        if ids:
            found = spaces.Box(0, scene.DECAL + decals.COUNT - 1, (size, size), np.int32)
            pov = spaces.Box(0, 255, (size, size, 3), np.uint8)
            self.observation_space = spaces.Dict({"pov": pov, "ids": found})  # type: ignore[assignment]
        self.action_space = actions.space("dmlab")
        self._x = self._y = self._z = self._yaw = self._pitch = self._rising = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Make world ``seed``, or one from the environment's generator; start at ``options["pose"]``."""
        world = self._begin(seed, 2**31 - 1)
        if (drawn := getattr(self, "maze", None)) is None or drawn.seed != world:
            self.maze = maze.draw(world)
            self._scene = scene.paint(self.maze)
            self._solid: list[list[bool]] = self.maze.wall.tolist()
        x, z, yaw = self.maze.start
        self._place((x, STANDING, z, yaw, 0.0))
        if options is not None and options.get("pose") is not None:
            self._place(options["pose"])
        pose = self._pose()
        return self._observe(pose), self._info(pose)

    def step(
        self, action: NDArray[np.int32]
    ) -> tuple[dict[str, NDArray[Any]], float, bool, bool, dict[str, Any]]:
        """Look, then walk, then rise or fall. Values beyond the action space's bounds count as the bounds."""
        self._ready()
        asked = np.asarray(action)
        if asked.shape != (7,):
            raise ValueError(f"LabMaze: expected an action of 7 integers, found shape {asked.shape}")
        look, up, strafe, move, _fire, jump, crouch = [
            value if low <= value <= high else min(max(value, low), high)
            for value, low, high in zip(map(int, asked.tolist()), _LOW, _HIGH, strict=True)
        ]
        # Rounding makes opposite looks cancel exactly, so that a level camera comes back to level.
        if look:
            self._yaw = _wrap(round(self._yaw + look * DEGREES_PER_LOOK, 6))
        if up:
            self._pitch = min(max(round(self._pitch - up * DEGREES_PER_LOOK, 6), -MAX_PITCH), MAX_PITCH)
        if strafe or move:
            self._walk(strafe * STRAFE, move * FORWARD)
        self._hop(bool(jump), bool(crouch))
        pose = self._pose()
        return self._observe(pose), 0.0, False, self._cut(), self._info(pose)

    def teleport(self, pose: ArrayLike) -> dict[str, NDArray[Any]]:
        """Put the eye at a pose (x, y, z in cells, yaw, pitch in degrees), at rest; return what it sees.

        Raises:
            ValueError: not five finite numbers, in a wall or outside, too high or too low, or |pitch| > 90.
        """
        self._ready()
        self._place(pose)
        return self._observe(self._pose())

    def save_state(self) -> dict[str, NDArray[Any]]:
        """A copy of all that changes in this world, as arrays: seed and steps, pose, and how fast one rises."""
        self._ready()
        return {
            "numbers": np.array([self.world_seed, self._steps], np.int64),
            "body": np.array([*self._pose(), self._rising]),
        }

    def load_state(self, state: dict[str, NDArray[Any]]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Go back to what :meth:`save_state` gave; what :meth:`reset` gives.

        Raises:
            ValueError: it is not whole.
        """
        numbers, body = state["numbers"], state["body"]
        if numbers.shape != (2,) or body.shape != (6,) or not np.isfinite(body).all():
            raise ValueError("LabMaze: expected a state that save_state gave")
        self.reset(seed=int(numbers[0]))
        self._place(body[:5])  # in an open cell, at a height that can be drawn
        self._x, self._y, self._z, self._yaw, self._pitch, self._rising = (float(v) for v in body)
        self._steps = int(numbers[1])
        pose = self._pose()
        return self._observe(pose), self._info(pose)

    @property
    def surface_colours(self) -> dict[str, NDArray[np.float64]]:
        """Mean colours (n, 3), 0 to 255, that a ``floor``, a ``wall`` and a ``decal`` can have in a maze."""
        return colours.surface_colours()

    def surfaces(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Id and kind of what each pixel of the present picture shows, (size, size) each; see the module ``ids``."""
        self._ready()
        found = renderer.ids(self._scene, self._pose(), self.fov, self.size)
        return found, ids.kind(found)

    def walkmap(self) -> tuple[NDArray[np.float32], float, tuple[float, float]]:
        """Heights float32 (9, 9) indexed [x, z], 0 where open, nan in walls; the cell size 1; the origin."""
        self._ready()
        heights = np.where(self.maze.wall.T, np.float32(np.nan), np.float32(0.0)).astype(np.float32)
        return heights, 1.0, (0.0, 0.0)

    def _place(self, pose: ArrayLike) -> None:
        numbers = np.asarray(pose, np.float64)
        if numbers.shape != (5,) or not np.isfinite(numbers).all():
            raise ValueError(f"LabMaze pose: expected 5 finite numbers x, y, z, yaw, pitch, found {pose!r}")
        x, y, z, yaw, pitch = (float(n) for n in numbers)
        if not (0 <= x < maze.SIZE and 0 <= z < maze.SIZE) or self.maze.wall[int(z), int(x)]:
            raise ValueError(f"LabMaze pose: expected an open cell of the maze, found a wall at x={x}, z={z}")
        if not LOWEST <= y <= HIGHEST:
            raise ValueError(f"LabMaze pose: expected an eye height of {LOWEST}..{HIGHEST} cells, found {y}")
        if abs(pitch) > 90:
            raise ValueError(f"LabMaze pose: expected a pitch of -90..90 degrees, found {pitch}")
        self._x, self._y, self._z, self._yaw, self._pitch = x, y, z, _wrap(yaw), pitch
        self._rising = 0.0

    def _walk(self, right: float, forward: float) -> None:
        """Move by so many cells, sliding along walls."""
        length = math.hypot(right, forward)
        if length > FORWARD:
            right, forward = right * FORWARD / length, forward * FORWARD / length
        sin, cos = math.sin(math.radians(self._yaw)), math.cos(math.radians(self._yaw))
        wall = self._solid
        x, z = _push_out(wall, self._x, self._z)
        for _ in range(2):  # two halves, each shorter than the radius: no wall can be passed
            x, z = x + (-forward * sin - right * cos) / 2, z + (forward * cos - right * sin) / 2
            x, z = _push_out(wall, x, z)
        self._x, self._z = x, z

    def _hop(self, jump: bool, crouch: bool) -> None:
        """One rule for jumping and crouching: what is above its rest falls to it, what is below stands up."""
        rest = CROUCHED if crouch else STANDING
        if jump and self._rising == 0.0 and self._y <= rest:
            self._rising = JUMP_SPEED + GRAVITY
        if self._y > rest or self._rising > 0.0:
            self._rising -= GRAVITY
            self._y = round(self._y + self._rising, 6)
        if self._y <= rest:
            self._y, self._rising = rest, 0.0

    def _pose(self) -> NDArray[np.float64]:
        return np.array([self._x, self._y, self._z, self._yaw, self._pitch])

    def _observe(self, pose: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        self._pov = renderer.picture(self._scene, pose, self.fov, self.size)
        observation: dict[str, NDArray[Any]] = {"pov": self._pov.copy()}
        if self.ids:
            observation["ids"] = renderer.ids(self._scene, pose, self.fov, self.size)
        return observation

    def _info(self, pose: NDArray[np.float64]) -> dict[str, Any]:
        return {"pose": pose, "world_seed": self.world_seed}


_SPACE = actions.space("dmlab")
_LOW, _HIGH = _SPACE.low.tolist(), _SPACE.high.tolist()  # type: ignore[attr-defined]


def _wrap(yaw: float) -> float:
    """An angle in [-180, 180)."""
    return yaw if -180.0 <= yaw < 180.0 else round((yaw + 180.0) % 360.0 - 180.0, 6)


def _push_out(wall: list[list[bool]], x: float, z: float) -> tuple[float, float]:
    """Move a disc whose centre is in an open cell, or just within a wall, out of the walls around it."""
    for _ in range(4):  # a corner needs two pushes
        deepest, out_x, out_z = RADIUS - 1e-9, x, z
        for cz in range(int(z - RADIUS), int(z + RADIUS) + 1):
            for cx in range(int(x - RADIUS), int(x + RADIUS) + 1):
                if not wall[cz][cx]:
                    continue
                near_x, near_z = min(max(x, cx), cx + 1.0), min(max(z, cz), cz + 1.0)
                dx, dz = x - near_x, z - near_z
                distance = math.hypot(dx, dz)
                if distance >= deepest:
                    continue
                deepest = distance
                if distance > 0.0:
                    out_x, out_z = near_x + dx / distance * RADIUS, near_z + dz / distance * RADIUS
                elif abs(x - cx - 0.5) > abs(z - cz - 0.5):
                    out_x, out_z = (cx - RADIUS if x < cx + 0.5 else cx + 1.0 + RADIUS), z
                else:
                    out_x, out_z = x, (cz - RADIUS if z < cz + 0.5 else cz + 1.0 + RADIUS)
        if (out_x, out_z) == (x, z):
            break
        x, z = out_x, out_z
    return x, z
