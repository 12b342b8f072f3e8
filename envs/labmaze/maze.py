"""One maze drawn from a seed: layout, quadrants, what hangs on each wall face, and where one starts."""

from __future__ import annotations

import dataclasses

import labmaze
import numpy as np
from numpy.typing import NDArray

from envs.labmaze import decals, textures

SIZE = 9  # grid cells along a side, walls included: as TECO's random_maze
DECAL_PROBABILITY = 0.1
# The four sides of an open cell, in the order of the renderer: the neighbour (dx, dz) that holds the wall.
SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1))
NO_DECAL = -1


@dataclasses.dataclass(frozen=True)
class Maze:
    """What a seed determines. Arrays are indexed [z, x] in cells: z down the maze's text, x to its right."""

    seed: int
    wall: NDArray[np.bool_]  # (9, 9): True where there is a wall
    quadrant: NDArray[np.int64]  # (9, 9): 0..3
    wall_texture: tuple[int, ...]  # per quadrant, index into textures.WALLS
    floor_texture: tuple[int, ...]  # per quadrant, index into textures.FLOORS
    sky: int  # index into textures.SKIES
    decal: NDArray[np.int64]  # (9, 9, 4): design on each side of an open cell, or NO_DECAL
    start: tuple[float, float, float]  # x, z in cells, yaw in degrees


def draw(seed: int) -> Maze:
    """The maze of a seed (>= 0): always the same one."""
    rng = np.random.default_rng(seed)
    layout = labmaze.RandomMaze(
        height=SIZE,
        width=SIZE,
        max_rooms=4,
        room_min_size=3,
        room_max_size=3,
        extra_connection_probability=0.3,
        max_variations=4,
        simplify=True,
        random_seed=int(rng.integers(2**31 - 1)),
    )
    wall = np.array([[letter == "*" for letter in row] for row in np.asarray(layout.entity_layer)])
    split_x, split_z = (int(k) for k in rng.integers(4, 6, size=2))
    cells = np.arange(SIZE)
    quadrant = 2 * (cells >= split_z)[:, None] + (cells >= split_x)[None, :]
    walls, floors = _palette(rng)
    sky = int(rng.integers(len(textures.SKIES)))
    decal = _hang(rng, wall)
    open_cells = np.argwhere(~wall)
    z, x = open_cells[rng.integers(len(open_cells))]
    yaw = float(rng.integers(-180, 180))
    return Maze(seed, wall, quadrant, walls, floors, sky, decal, (float(x) + 0.5, float(z) + 0.5, yaw))


def _palette(rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Wall and floor textures of the four quadrants: four colours each, and never one colour for both."""
    while True:
        wall_colours = rng.permutation(list(textures.WALL_FAMILIES))[:4]
        floor_colours = rng.permutation(list(textures.FLOOR_FAMILIES))[:4]
        if not any(w == f for w, f in zip(wall_colours, floor_colours, strict=True)):
            break
    walls = tuple(int(rng.choice(textures.WALL_FAMILIES[str(c)])) for c in wall_colours)
    floors = tuple(int(rng.choice(textures.FLOOR_FAMILIES[str(c)])) for c in floor_colours)
    return walls, floors


def _hang(rng: np.random.Generator, wall: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Give each wall face a decal with DECAL_PROBABILITY, no design twice: a decal names its place."""
    decal = np.full((SIZE, SIZE, len(SIDES)), NO_DECAL, np.int64)
    designs = rng.permutation(decals.COUNT)
    used = 0
    for z, x in np.argwhere(~wall):
        for side, (dx, dz) in enumerate(SIDES):
            if wall[z + dz, x + dx] and rng.random() < DECAL_PROBABILITY and used < decals.COUNT:
                decal[z, x, side] = designs[used]
                used += 1
    return decal
