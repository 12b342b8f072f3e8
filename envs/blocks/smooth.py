"""From rays to pixels: one ray a pixel, three more where surfaces meet.

Compiled functions call only what stands in their own file or in `lanes`: numba's cache does not notice
changes in others.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from envs.blocks.lanes import LANES, floor, least, load, real, spread, store, store_bytes, take, whole
from envs.blocks.paint import BLUE, COLOUR, GREEN, RED

# More rays in a pixel in which surfaces meet: a triangle about its middle (down, right).
EXTRA_ROWS, EXTRA_COLS = (0.093, 0.258, -0.351), (0.348, -0.254, -0.080)
EXTRA = 3
STRIP = (
    4  # rows of which the pixels are listed column by column: neighbours' rays go alike, for about as long
)


@njit(cache=True, error_model="numpy")
def _byte(colour):  # type: ignore[no-untyped-def]
    return whole(least(colour + 0.5, spread(255.0)))


@njit(cache=True, error_model="numpy")
def one_ray(colours, keys, size, smooth, out, pixels, mixed):  # type: ignore[no-untyped-def]
    """Make pixels of the rays through their middles, and find those in which surfaces meet.

    Args:
        colours, keys: from `paint`, of size * size rays; size: height and width in pixels; smooth: whether to find any.
        out: uint8 (size * size * 3,) to fill, with room for a multiple of eight pixels.
        pixels: int32 (size * size + 8,) to fill with the numbers of pixels unlike one of their neighbours, the last
            one again up to a multiple of eight.
        mixed: uint8 (STRIP * size,), memory to work in.
    Returns:
        how many pixels those are.
    """
    for pack in range(-(-size * size // LANES)):
        k = pack * COLOUR
        r, g, b = (
            _byte(load(colours, k + RED)),
            _byte(load(colours, k + GREEN)),
            _byte(load(colours, k + BLUE)),
        )
        store_bytes(out, pack * 3 * LANES, r | g << 8 | b << 16)
    many = 0
    if smooth:
        for top in range(0, size, STRIP):
            rows = min(STRIP, size - top)
            for k in range(rows):
                i, flags = top + k, mixed[k * size : (k + 1) * size]
                row = keys[i * size : (i + 1) * size]
                above = keys[max(i - 1, 0) * size : (max(i - 1, 0) + 1) * size]
                below = keys[min(i + 1, size - 1) * size : (min(i + 1, size - 1) + 1) * size]
                for j in range(size):
                    flags[j] = (above[j] != row[j]) | (below[j] != row[j])
                for j in range(size - 1):
                    flags[j] |= row[j + 1] != row[j]
                for j in range(1, size):
                    flags[j] |= row[j - 1] != row[j]
            for j in range(size):
                for k in range(rows):
                    pixels[np.uint64(many)] = (top + k) * size + j
                    many += int(mixed[np.uint64(k * size + j)])
        for n in range(many, -(-many // LANES) * LANES):
            pixels[n] = pixels[many - 1]
    return many


@njit(cache=True, error_model="numpy")
def more_places(pixels, start, packs, size, places):  # type: ignore[no-untyped-def]
    """Where the further rays of eights of pixels go, for `cast`: eight first ones, eight second ones and so on."""
    # dividing by a power of two is multiplying by another, to the last bit, and slower
    plain = size & (size - 1) == 0
    for pack in range(packs):
        n = real(load(pixels, start + pack * LANES))
        i = floor(n / size)
        j = n - i * size
        for s in range(EXTRA):
            k = (pack * EXTRA + s) * 2 * LANES
            down, across = (i + 0.5 + EXTRA_ROWS[s]) * 2.0, (j + 0.5 + EXTRA_COLS[s]) * 2.0
            if plain:
                down, across = down * (1.0 / size), across * (1.0 / size)
            else:
                down, across = down / size, across / size
            store(places, k, 1.0 - down)
            store(places, k + LANES, across - 1.0)


@njit(cache=True, error_model="numpy")
def four_rays(colours, more, bytes_, pixels, start, packs, out):  # type: ignore[no-untyped-def]
    """Make eights of pixels of four rays each.

    Args:
        colours: of all pixels' middles, ``more``: of the further rays, which are lost; bytes_: the same as int32.
        pixels, out: from `one_ray`.
        start: in ``pixels``; packs: how many eights.
    """
    for pack in range(packs):
        m, k = start + pack * LANES, pack * EXTRA * COLOUR
        n = load(pixels, m)
        first = (n >> 3) * COLOUR + (n & 7)
        r, g, b = take(colours, first + RED), take(colours, first + GREEN), take(colours, first + BLUE)
        for s in range(EXTRA):
            at = k + s * COLOUR
            r, g, b = r + load(more, at + RED), g + load(more, at + GREEN), b + load(more, at + BLUE)
        r, g, b = _byte(r / float(1 + EXTRA)), _byte(g / float(1 + EXTRA)), _byte(b / float(1 + EXTRA))
        store(bytes_, 2 * k, r | g << 8 | b << 16)
        for i in range(LANES):
            pixel, rgb = pixels[np.uint64(m + i)] * 3, bytes_[np.uint64(2 * k + i)]
            out[np.uint64(pixel)], out[np.uint64(pixel + 1)], out[np.uint64(pixel + 2)] = (
                rgb,
                rgb >> 8,
                rgb >> 16,
            )
