"""What a renderer keeps beside the blocks to be fast: the empty boxes ahead of each cell, the tops of the columns."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from envs.blocks.materials import WATER

# A box of air that a ray crosses at once, as one byte: 16 * width + height. Blocks, water and the margin around the
# grid have bytes of their own; water's reads as a box of one cell, and those of blocks and the margin as width 0.
WIDEST, HIGHEST = 15, 7
BLOCKED, OUTSIDE, AIR, WET = 0, 8, 16 + 1, 16 + 8 + 1
FLATTER = 3  # a box as wide as this many times its height serves rays best: most go more along than up or down


@njit(cache=True)
def room_field(grid):  # type: ignore[no-untyped-def]
    """How far a ray may go at once: the box of air that begins in a cell, for each way out of it.

    Args:
        grid: uint8 (NX, NY, NZ) block numbers, 0 is air.
    Returns:
        uint8 (8, NX + 2, NY + 2, NZ + 2), with a margin of one cell that says OUTSIDE. The octant's bits 4, 2, 1 are
        set for rays to growing x, y, z; the other axes are mirrored, so that in all octants rays go to growing
        indices and boxes extend there: as wide along x as along z, and empty to their last cell.
    """
    nx, ny, nz = grid.shape
    out = np.full((8, nx + 2, ny + 2, nz + 2), OUTSIDE, np.uint8)
    air = np.zeros((nx, nz), np.int64)  # cells of air one over another, from the present one up
    # By height: sides of the squares that begin in a cell and have so much air above them, in this row and the last.
    before, here = np.zeros((nz + 1, HIGHEST), np.uint8), np.zeros((nz + 1, HIGHEST), np.uint8)
    for octant in range(8):
        up_x, up_y, up_z = octant >> 2 & 1, octant >> 1 & 1, octant & 1
        air[:] = 0
        for y in range(ny, 0, -1):
            before[:] = 0
            for x in range(nx, 0, -1):
                for z in range(nz, 0, -1):
                    block = grid[x - 1 if up_x else nx - x, y - 1 if up_y else ny - y, z - 1 if up_z else nz - z]
                    air[x - 1, z - 1] = air[x - 1, z - 1] + 1 if block == 0 else 0
                    if block != 0:
                        here[z - 1] = 0
                        out[octant, x, y, z] = WET if block == WATER else BLOCKED
                        continue
                    for k in range(HIGHEST):
                        side = 1 + min(before[z - 1, k], min(before[z, k], here[z, k]))
                        here[z - 1, k] = min(WIDEST, side) if k < air[x - 1, z - 1] else 0
                    best = 0
                    for k in range(HIGHEST):
                        side = here[z - 1, k]
                        # First by worth, then by the size of both; the byte itself is in the last bits.
                        rank = min(side, FLATTER * (k + 1)) << 16 | (side + k) << 8 | side << 4 | (k + 1)
                        best = max(best, rank if side > 0 else 0)
                    out[octant, x, y, z] = best & 255
                before, here = here, before
    return out


@njit(cache=True)
def set_block(grid, room, tops, x, y, z, block):  # type: ignore[no-untyped-def]
    """Change one cell; keeps the rooms (never too large) and the column's top in step with it."""
    grid[x, y, z] = block
    nx, ny, nz = grid.shape
    for octant in range(8):
        a = x + 1 if octant & 4 else nx - x
        b = y + 1 if octant & 2 else ny - y
        c = z + 1 if octant & 1 else nz - z
        room[octant, a, b, c] = AIR if block == 0 else (WET if block == WATER else BLOCKED)
        if block == 0:
            continue
        for i in range(min(a, WIDEST)):
            for j in range(min(b, HIGHEST)):
                for k in range(min(c, WIDEST)):
                    old = room[octant, a - i, b - j, c - k]
                    wide, high, away = old >> 4, old & 7, max(i, k)
                    if wide > away and high > j and away + j > 0:  # the box loses its end in one direction
                        flatter = j > 0 and (away == 0 or min(wide, FLATTER * j) > min(away, FLATTER * high))
                        room[octant, a - i, b - j, c - k] = wide << 4 | j if flatter else away << 4 | high
    tops[x, z] = 0
    for b in range(ny - 1, -1, -1):
        if grid[x, b, z] != 0 and grid[x, b, z] != WATER:
            tops[x, z] = b
            break


def tops_of(grid: NDArray[np.uint8]) -> NDArray[np.int64]:
    """int64 (NX, NZ): y of the highest cell of each column that is neither air nor water, 0 where none."""
    full = (grid != 0) & (grid != WATER)
    return np.where(full.any(1), grid.shape[1] - 1 - np.argmax(full[:, ::-1], axis=1), 0).astype(np.int64)
