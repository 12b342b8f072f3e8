"""The Minecraft-like world as a gymnasium environment."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs import actions
from envs.blocks import physics
from envs.blocks.materials import AIR, BEDROCK, BLOCK, SOLID, TREE_BLOCKS, WATER
from envs.blocks.renderer import draw
from envs.blocks.room import room_field, set_block, tops_of
from envs.blocks.terrain import SIZE, generate
from envs.blocks.walk import FOV

SIZES = (8, 1024)  # smallest and largest picture
COOLDOWN = 4  # ticks between two blocks broken, or two placed
HEADROOM = 8  # blocks above the grid in which an eye may be
Observation = dict[str, NDArray[np.uint8]]


class BlocksEnv(gymnasium.Env[Observation, dict[str, Any]]):
    """A world of 64x32x64 blocks, seen and walked in first person, 20 ticks a second.

    Observations are ``{"pov": uint8 (size, size, 3)}``, actions MineRL's dictionary (``envs.actions``).
    The reward is always 0. ``info["pose"]`` is float64 (x, y, z, yaw, pitch) of the eye, in blocks and
    degrees; ``info["seed"]`` is the world's seed. The same seed and actions give the same frames, bit for bit.

    Args:
        size: height and width of the picture in pixels.
        max_steps: truncate an episode after this many steps; None for never.
        render_mode: None or ``rgb_array``.
        smooth: four rays in the pixels in which surfaces meet; without it pictures are jagged, and made in
            little more than half the time.

    Raises:
        ValueError: a size, max_steps or render_mode that cannot be.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 20}  # type: ignore[misc]
    fov = FOV
    backend = "embedded"
    family = "minecraft"
    version = 1

    def __init__(
        self,
        size: int = 64,
        max_steps: int | None = None,
        render_mode: str | None = None,
        smooth: bool = True,
    ) -> None:
        if (
            isinstance(size, bool)
            or not isinstance(size, int | np.integer)
            or not SIZES[0] <= size <= SIZES[1]
        ):
            raise ValueError(
                f"Blocks: expected size to be an int from {SIZES[0]} to {SIZES[1]}, found {size!r}"
            )
        whole = isinstance(max_steps, int | np.integer) and not isinstance(max_steps, bool)
        if max_steps is not None and not (whole and max_steps > 0):
            raise ValueError(f"Blocks: expected max_steps to be None or an int above 0, found {max_steps!r}")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"Blocks: expected render_mode to be None or 'rgb_array', found {render_mode!r}")
        self.size = int(size)
        self.max_steps = None if max_steps is None else int(max_steps)
        self.render_mode = render_mode
        self.smooth = bool(smooth)
        pov = gymnasium.spaces.Box(0, 255, (self.size, self.size, 3), np.uint8)
        self.observation_space = gymnasium.spaces.Dict({"pov": pov})  # type: ignore[assignment]
        self.action_space = actions.space("minecraft")
        self.world_seed: int | None = None
        self._pov: NDArray[np.uint8] | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Make a world and stand at its start, or at ``options["pose"]``; without a seed a new world each time."""
        super().reset(seed=seed)
        self.world_seed = int(self.np_random.integers(2**31)) if seed is None else int(seed)
        world = generate(self.world_seed)
        self.grid = world.grid
        self._ground, self._tint = world.ground, world.tint
        self._room, self._tops = room_field(self.grid), tops_of(self.grid)
        x, y, z, self._yaw = world.spawn
        self._pitch = 0.0
        self._body = np.array([x, y, z, 0.0, 0.0, 0.0, 1.0])
        self._in_hand = BLOCK["planks"]
        self._rest = {"attack": 0, "use": 0}
        self._steps = 0
        if options and options.get("pose") is not None:
            self._place(options["pose"])
        return self._look(), self._info()

    def step(self, action: dict[str, Any]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Turn the camera, break or place a block, move for one tick, look."""
        self._ready()
        pitch, yaw = (float(a) for a in action["camera"])
        self._turn(self._yaw + yaw, self._pitch + pitch)
        for name, act in (("attack", self._attack), ("use", self._use)):
            self._rest[name] = max(0, self._rest[name] - 1)
            if action[name] and self._rest[name] == 0 and act():
                self._rest[name] = COOLDOWN
        physics.tick(
            self.grid, SOLID, WATER, self._body, self._yaw,
            float(int(action["forward"]) - int(action["back"])), float(int(action["right"]) - int(action["left"])),
            bool(action["jump"]), bool(action["sneak"]), bool(action["sprint"]),
        )  # fmt: skip
        self._steps += 1
        truncated = self.max_steps is not None and self._steps >= self.max_steps
        return self._look(), 0.0, False, truncated, self._info()

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The newest picture, uint8 (size, size, 3), when made with ``render_mode="rgb_array"``."""
        self._ready()
        return None if self.render_mode is None or self._pov is None else self._pov.copy()

    def teleport(self, pose: ArrayLike) -> Observation:
        """Put the eye at (x, y, z, yaw, pitch), at rest; returns the new observation.

        Raises:
            ValueError: the pose is not five finite numbers inside the world.
        """
        self._ready()
        self._place(pose)
        return self._look()

    def walkmap(self) -> tuple[NDArray[np.float32], float, tuple[float, float]]:
        """Where one can stand under the open sky.

        Returns:
            heights float32 (64, 64) of the feet by column (nan: water, trees, buildings), cell size in blocks,
            (x, z) of the map's corner.
        """
        self._ready()
        tops = self._tops
        x, z = np.indices(tops.shape)
        above = np.minimum(tops + 1, SIZE[1] - 1)
        bad = self.grid[x, above, z] == WATER
        bad |= np.isin(self.grid[x, tops, z], TREE_BLOCKS) | (tops + 1 - self._ground > 1)
        return np.where(bad, np.nan, tops + 1.0).astype(np.float32), 1.0, (0.0, 0.0)

    def _ready(self) -> None:
        if self.world_seed is None:
            raise RuntimeError("Blocks: there is no world yet; call reset() first")

    def _turn(self, yaw: float, pitch: float) -> None:
        self._yaw = (yaw + 180.0) % 360.0 - 180.0
        self._pitch = min(90.0, max(-90.0, pitch))

    def _place(self, pose: ArrayLike) -> None:
        p = np.asarray(pose, np.float64)
        if p.shape != (5,) or not np.isfinite(p).all():
            raise ValueError(
                f"Blocks: expected a pose of five finite numbers (x, y, z, yaw, pitch), found {pose!r}"
            )
        limits = (SIZE[0], SIZE[1] + HEADROOM, SIZE[2])
        if not all(0 <= v < n for v, n in zip(p[:3], limits, strict=True)):
            raise ValueError(f"Blocks: expected a position from 0 to below {limits}, found {p[:3].tolist()}")
        self._body[:] = (p[0], p[1] - physics.EYE, p[2], 0.0, 0.0, 0.0, 0.0)
        self._turn(float(p[3]), float(p[4]))

    def _pose(self) -> NDArray[np.float64]:
        x, y, z = self._body[:3]
        return np.array([x, y + physics.EYE, z, self._yaw, self._pitch])

    def _info(self) -> dict[str, Any]:
        return {"pose": self._pose(), "seed": self.world_seed}

    def _look(self) -> Observation:
        self._pov = draw(self.grid, self._room, self._tops, self._tint, self._pose(), self.size, self.smooth)
        return {"pov": self._pov.copy()}

    def _aim(self) -> NDArray[np.int64]:
        x, y, z, yaw, pitch = self._pose()
        yaw, pitch = math.radians(yaw), math.radians(pitch)
        way = -math.sin(yaw) * math.cos(pitch), -math.sin(pitch), math.cos(yaw) * math.cos(pitch)
        aim: NDArray[np.int64] = physics.point_at(self.grid, WATER, x, y, z, *way, physics.REACH)
        return aim

    def _attack(self) -> bool:
        x, y, z = (int(v) for v in self._aim()[:3])
        if x < 0 or self.grid[x, y, z] == BEDROCK:
            return False
        self._in_hand = int(self.grid[x, y, z])
        set_block(self.grid, self._room, self._tops, x, y, z, AIR)
        return True

    def _use(self) -> bool:
        aim = self._aim()
        x, y, z = (int(v) for v in aim[3:])
        inside = aim[0] >= 0 and all(0 <= v < n for v, n in zip((x, y, z), SIZE, strict=True))
        if not inside or self.grid[x, y, z] not in (AIR, WATER):
            return False
        old = int(self.grid[x, y, z])
        clear = physics.free(self.grid, SOLID, *self._body[:3])
        set_block(self.grid, self._room, self._tops, x, y, z, self._in_hand)
        if clear and not physics.free(self.grid, SOLID, *self._body[:3]):  # never inside the player
            set_block(self.grid, self._room, self._tops, x, y, z, old)
            return False
        return True
