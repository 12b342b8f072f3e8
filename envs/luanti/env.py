"""Luanti as a gymnasium environment: the engine draws and keeps the nodes, the body and its actions are ours."""

from __future__ import annotations

import math
import weakref
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs import actions
from envs.blocks.player import Player
from envs.luanti import saved_map
from envs.luanti.engine import FOV, EngineDied, binary
from envs.luanti.game import Game
from envs.luanti.saved_map import HEIGHT, LIQUID, LOWEST, SIDE
from envs.true_world import Observation, TrueWorld

SENT = 48 + SIDE + 48  # nodes of land sent to the client, each way


class LuantiEnv(TrueWorld):
    """A place of 64x48x64 nodes of real Luanti land, seen and walked in first person, 20 ticks a second.

    The stock engine runs on a virtual screen of its own and moves only when we say so. Observations are
    ``{"pov": uint8 (size, size, 3)}``, actions MineRL's dictionary; walking, falling, swimming, digging and
    placing are those of Blocks (``envs.blocks.player``) over the engine's nodes. A seed chooses one of the saved
    map's places, where one stands and looks: equal seeds and actions give equal pictures as long as the saved map
    is the same (``info["map"]``). The reward is always 0; ``info["pose"]`` is as in Blocks.

    Slabs and snow count as whole nodes or as none; water does not flow and sand does not fall after digging.

    Args:
        size: height and width of the picture in pixels.
        max_steps: truncate an episode after this many steps; None for never.
        render_mode: None or ``rgb_array``.
        map_seed: of the land; a new one is made at the first reset (about a minute), then kept.
        game: a running game of this size on this map to play in, which stays the caller's; otherwise one of its
            own, started at the first reset.

    Raises:
        ValueError: a size, max_steps or render_mode that cannot be.
        EngineMissing: the engine is not installed.
        EngineDied: in reset and step, the game ended or hangs; the next reset starts another.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 20}  # type: ignore[misc]
    label = "Luanti"
    sizes = (16, 1024)
    fov = FOV
    backend = "luanti"
    family = "minecraft"
    version = 2

    def __init__(
        self,
        size: int = 64,
        max_steps: int | None = None,
        render_mode: str | None = None,
        map_seed: int = 42,
        game: Game | None = None,
    ) -> None:
        super().__init__(size, max_steps, render_mode)
        binary()
        self.map_seed = int(map_seed)
        self.action_space = actions.space("minecraft")
        self._game, self._lent = game, game is not None
        self._ending: weakref.finalize[Any, Any] | None = None
        self._changes: list[str] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Stand where the seed says, on land as it was saved, or at ``options["pose"]``."""
        world = self._begin(seed)
        self.map = saved_map.load(self.map_seed)
        drawn = np.random.default_rng(world)
        place = int(drawn.integers(len(self.map.grids)))
        starts = self.map.starts(place)
        column, yaw = starts[int(drawn.integers(len(starts)))], float(drawn.uniform(-180, 180))
        grid = self.map.grids[place].copy()
        self._corner = tuple(int(v) for v in self.map.corners[place])
        in_hand = self.map.names.index(saved_map.IN_HAND)
        self.player = Player(grid, self.map.solid, LIQUID, -1, in_hand, self._set, "Luanti")
        height = float(self.map.walkmap(grid)[column])
        self.player.spawn_at(column[0] + 0.5, height, column[1] + 0.5, yaw)
        if options and options.get("pose") is not None:
            self.player.place(options["pose"])
        self._changes = []
        self._enter(place)
        return self._look(), self._info()

    def step(self, action: dict[str, Any]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Turn the camera, break or place a node, move for one tick, look."""
        self._ready()
        self.player.step(action)
        return self._look(), 0.0, False, self._cut(), self._info()

    def teleport(self, pose: ArrayLike) -> Observation:
        """Put the eye at (x, y, z, yaw, pitch), at rest; returns the new observation.

        Raises:
            ValueError: the pose is not five finite numbers inside the world.
        """
        self._ready()
        self.player.place(pose)
        return self._look()

    def walkmap(self) -> tuple[NDArray[np.float32], float, tuple[float, float]]:
        """Heights float32 (64, 64) of the feet by column (nan: water, trunks), cell size in nodes, corner (x, z)."""
        self._ready()
        return self.map.walkmap(self.player.grid), 1.0, (0.0, 0.0)

    def close(self) -> None:
        """End the game, unless it was lent."""
        if self._ending is not None:
            self._ending()
            self._ending = None
        if not self._lent:
            self._game = None
        self.world_seed = None

    def _info(self) -> dict[str, Any]:
        return {"pose": self.player.pose, "seed": self.world_seed, "map": self.map.map_id}

    def _enter(self, place: int) -> None:
        """Have a game that shows this place as it was saved."""
        if self._game is None:
            self._game = Game(self.size, self.map.file)
            self._ending = weakref.finalize(self, self._game.close)
        try:
            self._game.restore()
            x, z = (v - 48 for v in self._corner)
            self._game.visit(
                place, f"L {x} {LOWEST - 16} {z} {x + SENT - 1} {LOWEST + HEIGHT + 15} {z + SENT - 1}"
            )
        except EngineDied:
            self.close()
            raise

    def _set(self, x: int, y: int, z: int, node: int) -> None:
        self.player.grid[x, y, z] = node
        at = self._corner[0] + SIDE - 1 - x, LOWEST + y, self._corner[1] + z
        self._changes.append(f"N {at[0]} {at[1]} {at[2]} {self.map.names[node]}")

    def _look(self) -> Observation:
        assert self._game is not None
        x, y, z, yaw, pitch = self.player.pose
        # Nodes have their middles at whole numbers there, and x grows to the other side.
        eye = self._corner[0] + SIDE - 0.5 - x, LOWEST - 0.5 + y, self._corner[1] - 0.5 + z
        try:
            if self._changes:
                self._game.change(self._changes)
            self._pov = self._game.frame(*eye, -math.radians(yaw), math.radians(pitch))
            self._game.rest()
        except EngineDied:
            self.close()
            raise
        self._changes = []
        return {"pov": self._pov.copy()}
