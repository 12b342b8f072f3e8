"""The colours that the surfaces of mazes can have: what a floor, a wall or a decal may be mistaken for."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.labmaze import decals, textures

TABLE = Path(__file__).with_name("colours.json")


@functools.cache
def surface_colours() -> dict[str, NDArray[np.float64]]:
    """Mean colours (n, 3), 0 to 255, of all textures of ``floor`` and ``wall`` and of the plates of ``decal``.

    From a table, since reading 60 large pictures takes seconds; a test holds it to :func:`measured`.
    """
    return {kind: np.array(rows, float) for kind, rows in json.loads(TABLE.read_text()).items()}


def measure() -> dict[str, NDArray[np.float64]]:
    """What :func:`surface_colours` says, from the pictures themselves."""
    floors = sorted(i for family in textures.FLOOR_FAMILIES.values() for i in family)
    walls = sorted(i for family in textures.WALL_FAMILIES.values() for i in family)
    plates = []
    for pair in range(len(decals.PLATE_AND_INK)):  # glyphs change the mean of a pair of colours but little
        designs = (decals.design(len(decals.GLYPHS) * pair + g) for g in range(len(decals.GLYPHS)))
        plates.append(np.mean([colour[opacity >= 0.5].mean(0) for colour, opacity in designs], axis=0))
    return {
        "floor": np.array([textures.floor(i).mean((0, 1)) for i in floors], float),
        "wall": np.array([textures.wall(i).mean((0, 1)) for i in walls], float),
        "decal": np.array(plates, float),
    }
