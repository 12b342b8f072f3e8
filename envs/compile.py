"""Compile a part of an embedded world's kernels, which numba keeps on disk: python -m envs.compile PART."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path


def _blocks_pictures() -> None:
    from envs.blocks.compile import pictures

    pictures()


def _blocks_play() -> None:
    from envs.blocks.compile import play

    play()


def _labmaze_level() -> None:
    from envs import actions
    from envs.labmaze.env import LabMazeEnv

    env = LabMazeEnv()
    env.reset(seed=0)
    env.step(actions.noop("dmlab"))


def _labmaze_tilted() -> None:
    from envs.labmaze import maze
    from envs.labmaze.env import STANDING, LabMazeEnv

    x, z, yaw = maze.draw(0).start
    LabMazeEnv().reset(seed=0, options={"pose": (x, STANDING, z, yaw, 10.0)})


PARTS: dict[str, dict[str, Callable[[], None]]] = {
    "blocks": {"blocks-pictures": _blocks_pictures, "blocks-play": _blocks_play},
    "labmaze": {"labmaze-level": _labmaze_level, "labmaze-tilted": _labmaze_tilted},
}  # by the folder of the sources; parts of one folder can be compiled at once


def jobs(folder: str) -> dict[Path, list[list[str]]]:
    """What compiles the kernels of a folder of ``envs``: the words after ``python``, job by job."""
    parts = [["-m", "envs.compile", part] for part in PARTS.get(folder, {})]
    return {Path(__file__).parent / folder: parts} if parts else {}


if __name__ == "__main__":
    gc.disable()  # a twentieth of the time
    {name: run for parts in PARTS.values() for name, run in parts.items()}[sys.argv[1]]()
