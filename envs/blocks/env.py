"""The Minecraft-like world as a gymnasium environment."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs import actions
from envs.blocks.materials import BEDROCK, BLOCK, SOLID, TREE_BLOCKS, WATER
from envs.blocks.physics import BODY
from envs.blocks.player import HEADROOM, Player
from envs.blocks.renderer import draw
from envs.blocks.room import room_field, set_block, tops_of
from envs.blocks.terrain import SIZE, generate
from envs.blocks.walk import FOV
from envs.true_world import Observation, TrueWorld


class BlocksEnv(TrueWorld):
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
    label = "Blocks"
    sizes = (8, 1024)
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
        super().__init__(size, max_steps, render_mode)
        self.smooth = bool(smooth)
        self.action_space = actions.space("minecraft")

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Make a world and stand at its start, or at ``options["pose"]``; without a seed a new world each time."""
        world = generate(self._begin(seed))
        self.grid = world.grid
        self._ground, self._tint = world.ground, world.tint
        self._room, self._tops = room_field(self.grid), tops_of(self.grid)
        self.player = Player(self.grid, SOLID, WATER, BEDROCK, BLOCK["planks"], self._set, "Blocks")
        self.player.spawn_at(*world.spawn)
        if options and options.get("pose") is not None:
            self.player.place(options["pose"])
        pose = self.player.pose
        return self._look(pose), self._info(pose)

    def step(self, action: dict[str, Any]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Turn the camera, break or place a block, move for one tick, look."""
        self._ready()
        self.player.step(action)
        pose = self.player.pose
        return self._look(pose), 0.0, False, self._cut(), self._info(pose)

    def teleport(self, pose: ArrayLike) -> Observation:
        """Put the eye at (x, y, z, yaw, pitch), at rest; returns the new observation.

        Raises:
            ValueError: the pose is not five finite numbers inside the world.
        """
        self._ready()
        self.player.place(pose)
        return self._look(self.player.pose)

    def save_state(self) -> dict[str, NDArray[Any]]:
        """A copy of all that changes in this world, as arrays: seed, blocks, and the player's body and hands."""
        self._ready()
        player = self.player
        numbers = [self.world_seed, self._steps, player.in_hand, player.rest["attack"], player.rest["use"]]
        return {
            "grid": self.grid.copy(),
            "body": player.body.copy(),
            "view": np.array([player.yaw, player.pitch]),
            "numbers": np.array(numbers, np.int64),
        }

    def load_state(self, state: dict[str, NDArray[Any]]) -> tuple[Observation, dict[str, Any]]:
        """Go back to what :meth:`save_state` gave; what :meth:`reset` gives.

        Raises:
            ValueError: it is not whole.
        """
        grid, body, view, numbers = (state[name] for name in ("grid", "body", "view", "numbers"))
        shapes = (SIZE, (BODY,), (2,), (5,))
        whole = all(a.shape == shape for a, shape in zip((grid, body, view, numbers), shapes, strict=True))
        inside = whole and all(
            0 <= v < n for v, n in zip(body[:3], (SIZE[0], SIZE[1] + HEADROOM, SIZE[2]), strict=True)
        )
        if not inside or grid.dtype != np.uint8 or not np.isfinite(np.concatenate([body, view])).all():
            raise ValueError("Blocks: expected a state that save_state gave")
        seed, steps, in_hand, attack, use = (int(n) for n in numbers)
        self.reset(seed=seed)
        self.grid[:] = grid
        self._room, self._tops = room_field(self.grid), tops_of(self.grid)
        self.player.body[:] = body
        self.player.yaw, self.player.pitch = float(view[0]), float(view[1])
        self.player.in_hand, self.player.rest = in_hand, {"attack": attack, "use": use}
        self._steps = steps
        pose = self.player.pose
        return self._look(pose), self._info(pose)

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

    def _set(self, x: int, y: int, z: int, block: int) -> None:
        set_block(self.grid, self._room, self._tops, x, y, z, block)

    def _info(self, pose: NDArray[np.float64]) -> dict[str, Any]:
        return {"pose": pose, "seed": self.world_seed}

    def _look(self, pose: NDArray[np.float64]) -> Observation:
        self._pov = draw(self.grid, self._room, self._tops, self._tint, pose, self.size, self.smooth)
        return {"pov": self._pov.copy()}
