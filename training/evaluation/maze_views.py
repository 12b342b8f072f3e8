"""What LabMaze frames show, for the SRR judge: floors, walls and decals of a frame, and all their possible colours."""

from __future__ import annotations

from numpy.typing import ArrayLike

from envs.labmaze.colours import surface_colours
from envs.labmaze.env import LabMazeEnv
from worldsim.metrics.srr import Palettes, View, view


class MazeViews:
    """The views of one maze after another, drawn anew from recorded poses: an episode needs no id pictures."""

    def __init__(self, size: int = 64) -> None:
        self._env = LabMazeEnv(size=size)

    def at(self, world_seed: int, pose: ArrayLike) -> View:
        """What is seen from a pose (5,) in the maze of a seed.

        Raises:
            ValueError: the pose lies in a wall of that maze.
        """
        self._env.reset(seed=world_seed)
        return view(self._env.teleport(pose)["pov"], *self._env.surfaces())


def palettes() -> Palettes:
    """Mean colours of all floors and walls that mazes are made of, and of the plates of decals with their glyphs."""
    return Palettes(**surface_colours())
