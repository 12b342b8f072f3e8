"""What a renderer keeps beside the blocks to be fast: the empty space ahead of each cell, the tops of the columns."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from envs.blocks.materials import WATER

# Space that a ray crosses at once, as a byte for each cell: flat boxes (16 * width + height) for speed, and cubes
# (8 * side) for rays along the edges of cells, where it depends on the last bit, and so on the steps, what they meet.
# Blocks and the margin around the grid have a width of 0; water is a space of one cell.
FLAT, CUBES = 0, 1
WIDEST, HIGHEST, MOST_ROOM = 15, 7, 24
BLOCKED = 0
OUTSIDE, AIR, WET = (1, 1), (16 + 1, 8), (16 + 8 + 1, 8 + 1)  # of both kinds
FLATTER = (
    3  # a box as wide as this many times its height serves rays best: most go more along than up or down
)


def room_field(grid: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How far a ray may go at once: the space of air that begins in a cell, for each way out of it.

    Args:
        grid: uint8 (NX, NY, NZ) block numbers, 0 is air.
    Returns:
        uint8 (2, 8, NX + 2, NY + 2, NZ + 2): of both kinds, with a margin of one cell that says OUTSIDE. The octant's
        bits 4, 2, 1 are set for rays to growing x, y, z; the other axes are mirrored, so that in all octants rays go to
        growing indices and space extends there. Boxes are as wide along x as along z.
    """
    nx, ny, nz = grid.shape
    out = np.empty((2, 8, nx + 2, ny + 2, nz + 2), np.uint8)
    out[FLAT], out[CUBES] = OUTSIDE
    before, here = np.zeros((2, nz + 1, HIGHEST), np.uint8)
    _measure(grid, out, np.empty((nx, nz), np.uint8), before, here)
    return out


@njit(cache=True)
def _measure(grid, out, air, before, here):  # type: ignore[no-untyped-def]
    """Fill a room field.

    Args:
        grid: as above; out: the field, of which only the margin is right.
        air: uint8 (NX, NZ) to work in: cells of air one over another, from the present one up.
        before, here: uint8 (NZ + 1, HIGHEST), zeros to work in: by height, the sides of the squares that begin in a
            cell and have so much air above them, in the last row and in this one.
    """
    nx, ny, nz = grid.shape
    for octant in range(8):
        up_x, up_y, up_z = octant >> 2 & 1, octant >> 1 & 1, octant & 1
        cubes = out[CUBES, octant]
        air[:] = 0
        for y in range(ny, 0, -1):
            for z in range(nz):
                for k in range(HIGHEST):
                    before[z, k] = 0
            for x in range(nx, 0, -1):
                for z in range(nz, 0, -1):
                    block = grid[
                        x - 1 if up_x else nx - x, y - 1 if up_y else ny - y, z - 1 if up_z else nz - z
                    ]
                    if block != 0:
                        air[x - 1, z - 1] = 0
                        for k in range(HIGHEST):
                            here[z - 1, k] = 0
                        for kind in (FLAT, CUBES):
                            out[kind, octant, x, y, z] = WET[kind] if block == WATER else BLOCKED
                        continue
                    air[x - 1, z - 1] += 1
                    for k in range(HIGHEST):
                        side = 1 + min(before[z - 1, k], min(before[z, k], here[z, k]))
                        here[z - 1, k] = min(WIDEST, side) if k < air[x - 1, z - 1] else 0
                    best = 0
                    for k in range(HIGHEST):
                        side = here[z - 1, k]
                        # First by worth, then by the size of both; the byte itself is in the last bits.
                        rank = min(side, FLATTER * (k + 1)) << 16 | (side + k) << 8 | side << 4 | (k + 1)
                        best = max(best, rank if side > 0 else 0)
                    out[FLAT, octant, x, y, z] = best & 255
                    room = np.int64(MOST_ROOM - 1)
                    for corner in range(1, 8):
                        beside = np.int64(cubes[x + (corner >> 2), y + (corner >> 1 & 1), z + (corner & 1)])
                        room = min(room, np.int64(0) if beside == WET[CUBES] else beside >> 3)
                    cubes[x, y, z] = room + 1 << 3
                before, here = here, before


@njit(cache=True)
def set_block(grid, room, tops, x, y, z, block):  # type: ignore[no-untyped-def]
    """Change one cell; keeps the rooms (never too large) and the column's top in step with it."""
    grid[x, y, z] = block
    nx, ny, nz = grid.shape
    for octant in range(8):
        a = x + 1 if octant & 4 else nx - x
        b = y + 1 if octant & 2 else ny - y
        c = z + 1 if octant & 1 else nz - z
        for kind in (FLAT, CUBES):
            room[kind, octant, a, b, c] = (
                AIR[kind] if block == 0 else (WET[kind] if block == WATER else BLOCKED)
            )
        if block == 0:
            continue
        for i in range(min(a, MOST_ROOM)):
            for j in range(min(b, MOST_ROOM)):
                for k in range(min(c, MOST_ROOM)):
                    away = max(i, k)
                    if away + j == 0:
                        continue
                    old = np.int64(room[CUBES, octant, a - i, b - j, c - k])
                    if old >> 3 > max(away, j):
                        room[CUBES, octant, a - i, b - j, c - k] = max(away, j) << 3
                    old = np.int64(room[FLAT, octant, a - i, b - j, c - k])
                    wide, high = old >> 4, old & 7
                    if wide > away and high > j:  # the box loses its end in one direction
                        flatter = j > 0 and (away == 0 or min(wide, FLATTER * j) > min(away, FLATTER * high))  # type: ignore[operator]
                        room[FLAT, octant, a - i, b - j, c - k] = (
                            wide << 4 | j if flatter else away << 4 | high
                        )
    tops[x, z] = 0
    for b in range(ny - 1, -1, -1):
        if grid[x, b, z] != 0 and grid[x, b, z] != WATER:
            tops[x, z] = b
            break


def tops_of(grid: NDArray[np.uint8]) -> NDArray[np.int64]:
    """int64 (NX, NZ): y of the highest cell of each column that is neither air nor water, 0 where none."""
    full = (grid != 0) & (grid != WATER)
    return np.where(full.any(1), grid.shape[1] - 1 - np.argmax(full[:, ::-1], axis=1), 0).astype(np.int64)
