"""What a renderer keeps beside the blocks to be fast: the empty space about each cell, the tops of the columns."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from envs.blocks.materials import WATER

WET, OUTSIDE = 254, 255  # what stands in place of a room's size: water, and the margin around the grid
MOST_ROOM = 24  # side of the largest cube of air that a ray crosses at once


@njit(cache=True)
def room_field(grid):  # type: ignore[no-untyped-def]
    """How far a ray may go at once: the side of the cube of air that begins in a cell, for each way out of it.

    Args:
        grid: uint8 (NX, NY, NZ) block numbers, 0 is air.
    Returns:
        uint8 (8, NX + 2, NY + 2, NZ + 2), with a margin of one cell that says OUTSIDE: at most MOST_ROOM, WET where
        the cell is water, 0 where it is neither air nor water; the octant's bits 4, 2, 1 are set where the cube
        extends to growing x, y, z.
    """
    nx, ny, nz = grid.shape
    out = np.full((8, nx + 2, ny + 2, nz + 2), OUTSIDE, np.uint8)
    for octant in range(8):
        sx, sy, sz = (octant >> 2 & 1) * 2 - 1, (octant >> 1 & 1) * 2 - 1, (octant & 1) * 2 - 1
        for i in range(nx):
            x = nx - i if sx > 0 else 1 + i
            for j in range(ny):
                y = ny - j if sy > 0 else 1 + j
                for k in range(nz):
                    z = nz - k if sz > 0 else 1 + k
                    block = grid[x - 1, y - 1, z - 1]
                    room = WET if block == WATER else 0
                    if block == 0:
                        room = MOST_ROOM - 1
                        for corner in range(1, 8):
                            a, b, c = (
                                x + sx * (corner >> 2),
                                y + sy * (corner >> 1 & 1),
                                z + sz * (corner & 1),
                            )
                            beside = out[octant, a, b, c]
                            room = min(room, 0 if beside >= WET else beside)
                        room += 1
                    out[octant, x, y, z] = room
    return out


@njit(cache=True)
def set_block(grid, room, tops, x, y, z, block):  # type: ignore[no-untyped-def]
    """Change one cell; keeps the rooms (never too large) and the column's top in step with it."""
    grid[x, y, z] = block
    nx, ny, nz = grid.shape
    for octant in range(8):
        room[octant, x + 1, y + 1, z + 1] = 1 if block == 0 else (WET if block == WATER else 0)
        if block == 0:
            continue
        sx, sy, sz = (octant >> 2 & 1) * 2 - 1, (octant >> 1 & 1) * 2 - 1, (octant & 1) * 2 - 1
        for i in range(MOST_ROOM):
            for j in range(MOST_ROOM):
                for k in range(MOST_ROOM):
                    a, b, c = x - sx * i, y - sy * j, z - sz * k
                    if a >= 0 and a < nx and b >= 0 and b < ny and c >= 0 and c < nz:
                        old = room[octant, a + 1, b + 1, c + 1]
                        if old < WET:
                            room[octant, a + 1, b + 1, c + 1] = min(old, max(i, max(j, k)))
    tops[x, z] = 0
    for b in range(ny - 1, -1, -1):
        if grid[x, b, z] != 0 and grid[x, b, z] != WATER:
            tops[x, z] = b
            break


def tops_of(grid: NDArray[np.uint8]) -> NDArray[np.int64]:
    """int64 (NX, NZ): y of the highest cell of each column that is neither air nor water, 0 where none."""
    full = (grid != 0) & (grid != WATER)
    return np.where(full.any(1), grid.shape[1] - 1 - np.argmax(full[:, ::-1], axis=1), 0).astype(np.int64)
