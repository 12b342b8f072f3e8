"""From rays to pixels: one ray a pixel, three more where surfaces meet.

Compiled functions call only what stands in their own file: numba's cache does not notice changes in others.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from envs.blocks.lanes import LANES
from envs.blocks.paint import COLOUR

# More rays in a pixel in which surfaces meet: a triangle about its middle (down, right).
EXTRA_ROWS, EXTRA_COLS = (0.093, 0.258, -0.351), (0.348, -0.254, -0.080)
EXTRA = 3


@njit(cache=True, error_model="numpy")
def one_ray(colours, keys, size, smooth, out, pixels):  # type: ignore[no-untyped-def]
    """Make pixels of the rays through their middles, and find those in which surfaces meet.

    Args:
        colours, keys: from `paint`, of size * size rays; size: height and width in pixels; smooth: whether to find any.
        out: uint8 (size * size, 3) to fill; pixels: int64 (size * size,) to fill with the numbers of pixels unlike one
            of their neighbours.
    Returns:
        how many those are.
    """
    for n in range(size * size):
        k = (n >> 3) * COLOUR + (n & 7)
        for c in range(3):
            out[n, c] = np.uint8(min(255.0, colours[k + c * LANES] + 0.5))
    many = 0
    if smooth:
        for i in range(size):
            for j in range(size):
                n = i * size + j
                key = keys[n]
                pixels[many] = n
                many += int(
                    (keys[n - size if i > 0 else n] != key)
                    | (keys[n - 1 if j > 0 else n] != key)
                    | (keys[n + size if i < size - 1 else n] != key)
                    | (keys[n + 1 if j < size - 1 else n] != key)
                )
    return many


@njit(cache=True, error_model="numpy")
def more_places(pixels, start, count, size, places):  # type: ignore[no-untyped-def]
    """Where the further rays of ``count`` pixels go, for `cast`; the last one again, up to a multiple of eight."""
    r = 0
    for m in range(count):
        n = np.uint32(pixels[start + m])
        i, j = np.float64(n // np.uint32(size)), np.float64(n % np.uint32(size))
        for s in range(EXTRA):
            k = (r >> 3) * 2 * LANES + (r & 7)
            places[k], places[k + LANES] = i + 0.5 + EXTRA_ROWS[s], j + 0.5 + EXTRA_COLS[s]
            r += 1
    last = (r - 1 >> 3) * 2 * LANES + (r - 1 & 7)
    while r & 7 != 0:
        k = (r >> 3) * 2 * LANES + (r & 7)
        places[k], places[k + LANES] = places[last], places[last + LANES]
        r += 1
    return r


@njit(cache=True, error_model="numpy")
def four_rays(colours, more, pixels, start, count, out):  # type: ignore[no-untyped-def]
    """Make ``count`` pixels of four rays each: ``colours`` of all pixels' middles, ``more`` of the further rays."""
    for m in range(count):
        n = pixels[start + m]
        for c in range(3):
            mean = colours[(n >> 3) * COLOUR + (n & 7) + c * LANES]
            for s in range(EXTRA):
                r = m * EXTRA + s
                mean += more[(r >> 3) * COLOUR + (r & 7) + c * LANES]
            out[n, c] = np.uint8(min(255.0, mean / (1 + EXTRA) + 0.5))
