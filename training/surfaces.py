"""What LabMaze frames show, for the SRR judge: floors, walls and decals of a frame, and all their possible colours."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import ArrayLike

from envs.labmaze import decals, ids, textures
from envs.labmaze.env import LabMazeEnv
from worldsim.metrics.srr import Rivals, View, view


class MazeViews:
    """The views of one maze after another, drawn anew from recorded poses: an episode needs no id pictures."""

    def __init__(self, size: int = 64) -> None:
        self._env = LabMazeEnv(size=size, ids=True)

    def at(self, world_seed: int, pose: ArrayLike) -> View:
        """What is seen from a pose (5,) in the maze of a seed.

        Raises:
            ValueError: the pose lies in a wall of that maze.
        """
        self._env.reset(seed=world_seed)
        seen = self._env.teleport(pose)
        return view(seen["pov"], seen["ids"], ids.kind(seen["ids"]))


@functools.cache
def rivals() -> Rivals:
    """Mean colours of all floors and walls that mazes are made of, and of the plates of decals with their glyphs."""
    floors = sorted(i for family in textures.FLOOR_FAMILIES.values() for i in family)
    walls = sorted(i for family in textures.WALL_FAMILIES.values() for i in family)
    plates = []
    for pair in range(len(decals.PLATE_AND_INK)):  # glyphs change the mean of a pair of colours but little
        designs = (decals.design(len(decals.GLYPHS) * pair + g) for g in range(len(decals.GLYPHS)))
        plates.append(np.mean([colour[opacity >= 0.5].mean(0) for colour, opacity in designs], axis=0))
    return Rivals(
        np.array([textures.floor(i).mean((0, 1)) for i in floors], float),
        np.array([textures.wall(i).mean((0, 1)) for i in walls], float),
        np.array(plates, float),
    )
