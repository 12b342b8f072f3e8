"""Compile the kernels of Blocks, in two halves that can be compiled at once: the pictures, and all else."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import actions
from envs.blocks.env import BlocksEnv
from envs.blocks.materials import BLOCK
from envs.blocks.renderer import draw
from envs.blocks.room import AIR, BLOCKED, OUTSIDE


def pictures() -> None:
    """Draw a wall in an empty grid, which needs no other kernel: cells of air one cell large are a room too."""
    grid = np.zeros((8, 8, 8), np.uint8)
    grid[:, :4, 6] = BLOCK["planks"]
    room = np.empty((2, 8, 10, 10, 10), np.uint8)
    for kind in range(2):
        room[kind] = OUTSIDE[kind]
        room[kind, :, 1:9, 1:9, 1:9] = AIR[kind]
    for octant in range(8):
        z = 6 if octant & 1 else 1  # mirrored
        room[:, octant, 1:9, 1:9, 1 + z] = BLOCKED
    tops, tint = np.zeros((8, 8), np.int64), np.ones((8, 8, 3), np.float32)
    draw(grid, room, tops, tint, np.array([4.2, 4.2, 2.2, 0.0, 0.0]), 16)


class _Blindfolded(BlocksEnv):
    """Blocks without its pictures."""

    def _look(self, pose: NDArray[np.float64]) -> Any:
        return {}


def play() -> None:
    """Make a world, dig where one stands and put it back."""
    env = _Blindfolded()
    env.reset(seed=0)
    action = actions.noop("minecraft") | {"camera": np.array([90.0, 0.0], np.float32)}
    env.step(action | {"attack": 1})
    env.step(action | {"use": 1})
