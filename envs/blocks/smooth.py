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
def one_ray(colours, keys, size, smooth, out, pixels, mixed):  # type: ignore[no-untyped-def]
    """Make pixels of the rays through their middles, and find those in which surfaces meet.

    Args:
        colours, keys: from `paint`, of size * size rays; size: height and width in pixels; smooth: whether to find any.
        out: uint8 (size * size, 3) to fill; pixels: int32 (size * size + 8,) to fill with the numbers of pixels unlike
            one of their neighbours, the last one again up to a multiple of eight.
        mixed: uint8 (size,), memory to work in.
    Returns:
        how many pixels those are.
    """
    for n in range(size * size):
        k = (n >> 3) * COLOUR + (n & 7)
        out[n, 0] = np.uint8(min(255.0, colours[k] + 0.5))
        out[n, 1] = np.uint8(min(255.0, colours[k + LANES] + 0.5))
        out[n, 2] = np.uint8(min(255.0, colours[k + 2 * LANES] + 0.5))
    many = 0
    if smooth:
        for i in range(size):
            row = keys[i * size : (i + 1) * size]
            above = keys[max(i - 1, 0) * size : (max(i - 1, 0) + 1) * size]
            below = keys[min(i + 1, size - 1) * size : (min(i + 1, size - 1) + 1) * size]
            for j in range(size):
                mixed[j] = (above[j] != row[j]) | (below[j] != row[j])
            for j in range(size - 1):
                mixed[j] |= row[j + 1] != row[j]
            for j in range(1, size):
                mixed[j] |= row[j - 1] != row[j]
            for j in range(size):
                pixels[many] = i * size + j
                many += int(mixed[j])
        for n in range(many, -(-many // LANES) * LANES):
            pixels[n] = pixels[many - 1]
    return many


@njit(cache=True, error_model="numpy")
def more_places(pixels, start, packs, size, places):  # type: ignore[no-untyped-def]
    """Where the further rays of eights of pixels go, for `cast`: eight first ones, eight second ones and so on."""
    for m in range(packs * LANES):
        n = np.uint32(pixels[start + m])
        i, j = np.float64(n // np.uint32(size)), np.float64(n % np.uint32(size))
        k = (m >> 3) * EXTRA * 2 * LANES + (m & 7)
        for s in range(EXTRA):
            places[k + s * 2 * LANES] = i + 0.5 + EXTRA_ROWS[s]
            places[k + s * 2 * LANES + LANES] = j + 0.5 + EXTRA_COLS[s]


@njit(cache=True, error_model="numpy")
def four_rays(colours, more, pixels, start, count, out):  # type: ignore[no-untyped-def]
    """Make ``count`` pixels of four rays each: ``colours`` of all pixels' middles, ``more`` of the further rays."""
    for m in range(count):
        n = pixels[start + m]
        k, r = (n >> 3) * COLOUR + (n & 7), (m >> 3) * EXTRA * COLOUR + (m & 7)
        for c in range(3):
            mean = colours[k + c * LANES]
            for s in range(EXTRA):
                mean += more[r + s * COLOUR + c * LANES]
            out[n, c] = np.uint8(min(255.0, mean / (1 + EXTRA) + 0.5))
