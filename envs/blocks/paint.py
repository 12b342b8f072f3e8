"""What rays look like: blocks, the water's surface, the endless sea, the sky, and the fog before all of them.

Compiled functions call only what stands in their own file or in `lanes`: numba's cache does not notice changes in others.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from envs.blocks.lanes import LANES, anywhere, choose, floor, least, load, most, root, size_of, spread, store
from envs.blocks.materials import WATER
from envs.blocks.terrain import SEA, noise
from envs.blocks.walk import (
    CELL_X, CELL_Y, CELL_Z, DIM_END, DX, DY, DZ, END, FACE, FOG_END, WATER_FACE, WATER_T, T,
)  # fmt: skip

FOG_START = 12.0  # blocks

# Light by face (-x, +x, -y, +y, -z, +z): six different shades, so that a corner always shows.
LIGHT = np.array([0.66, 0.76, 0.52, 1.0, 0.84, 0.90])
# Brightness of single blocks, by a sum of their coordinates; a few percent.
VARY = 1.0 + 0.025 * np.random.default_rng(11).standard_normal(64).clip(-2, 2)
_SUN_YAW, _SUN_HEIGHT = math.radians(-60.0), math.radians(28.0)
SUN_X = -math.sin(_SUN_YAW) * math.cos(_SUN_HEIGHT)
SUN_Y = math.sin(_SUN_HEIGHT)
SUN_Z = math.cos(_SUN_YAW) * math.cos(_SUN_HEIGHT)
SUN_FLAT = math.cos(_SUN_HEIGHT)

# Rows of what the painter notes of eight rays: fog and its colour; texel, cell, variation of its brightness, column and
# height of the cell that the face looks into, place along the face's axis.
FOG, FOG_R, FOG_G, FOG_B, TEXEL, CELL, SUM, COLUMN, HEIGHT, PLANE = range(0, 80, LANES)
NOTES = 80
RED, GREEN, BLUE = range(0, 24, LANES)
COLOUR = 24


def _clouds() -> NDArray[np.float64]:
    """Cloud cover in [0, 1] on a torus of 64x64 knots."""
    rng = np.random.default_rng(23)
    field = noise(rng, (64, 64), 7) + 0.5 * noise(rng, (64, 64), 3)
    ramp = np.minimum(1.0, np.minimum(np.arange(64), 63 - np.arange(64)) / 6)  # nothing on the seam
    return np.clip((field - 0.78) * 3.5, 0, 1) * ramp[:, None] * ramp[None, :]


CLOUDS = _clouds()


@njit(cache=True, error_model="numpy")
def _fog(t, near, far):  # type: ignore[no-untyped-def]
    part = min(1.0, max(0.0, (t - near) / (far - near)))
    return part * part * (3.0 - 2.0 * part)


@njit(cache=True, error_model="numpy")
def _texel(u, v, spread):  # type: ignore[no-untyped-def]
    """Place in a picture's 341 texels for u, v in [0, 1); the squared footprint in texels picks the level."""
    if spread > 128.0:
        return 340
    first, side = 0, 16
    if spread > 32.0:
        first, side = 336, 2
    elif spread > 8.0:
        first, side = 320, 4
    elif spread > 2.0:
        first, side = 256, 8
    return first + min(side - 1, max(0, int(v * side))) * side + min(side - 1, max(0, int(u * side)))


@njit(cache=True, error_model="numpy")
def _on_face(face, x, y, z):  # type: ignore[no-untyped-def]
    """u to the right and v down, in [0, 1], on a face seen from outside."""
    fx, fy, fz = x - math.floor(x), y - math.floor(y), z - math.floor(z)
    if face == 0:
        return fz, 1.0 - fy
    if face == 1:
        return 1.0 - fz, 1.0 - fy
    if face == 4:
        return 1.0 - fx, 1.0 - fy
    if face == 5:
        return fx, 1.0 - fy
    return fx, fz


@njit(cache=True, error_model="numpy")
def paint(  # type: ignore[no-untyped-def]
    grid, tops, tint, texels, faces, tinted, clouds, eye, angle, count, ends, notes, rest, colours, keys
):  # type: ignore[no-untyped-def]
    """Paint rays that `cast` followed.

    Args:
        grid, tops, tint: as in `draw`; texels, faces: from `atlas`; tinted: bool (256,) by block.
        clouds: float64 (64, 64) cover; eye: where the rays start; angle: between two pixels.
        count: how many rays, a multiple of eight; ends: from `cast`.
        notes: float64 (n / 8 * NOTES,), rest: int64 (n,), memory to work in.
        colours: float64 (n / 8 * COLOUR,) to fill: red, green and blue in 0..255 of eight rays each.
        keys: int64 (n,) to fill: a number of the surface that each ray met.
    """
    nx, ny, nz = grid.shape
    ox, oy, oz = eye
    cells, columns, hues = grid.reshape(-1), tops.reshape(-1), tint.reshape(-1)
    pictures, kinds = texels.reshape(-1), faces.reshape(-1)
    submerged = int(ends[WATER_FACE]) & 7 == 6 and ends[WATER_FACE] >= 0.0  # all rays start in one place
    near, far = (-3.0, DIM_END) if submerged else (FOG_START, FOG_END)

    for pack in range(count // LANES):
        e, m = pack * END, pack * NOTES
        dx, dy, dz, t = load(ends, e + DX), load(ends, e + DY), load(ends, e + DZ), load(ends, e + T)
        part = least(most((t - near) / (far - near), spread(0.0)), spread(1.0))
        fog = part * part * (3.0 - 2.0 * part)
        face = load(ends, e + FACE)
        store(notes, m + FOG, fog)
        if submerged:
            store(notes, m + FOG_R, spread(48.0))
            store(notes, m + FOG_G, spread(84.0))
            store(notes, m + FOG_B, spread(148.0))
        elif anywhere((fog > 0.0) | (face < 0.0) | (load(ends, e + WATER_FACE) >= 0.0)):
            # The clear sky, which is the fog's colour too: warm at the horizon below the sun.
            warm = 0.5 + 0.5 * (dx * SUN_X + dz * SUN_Z) / ((root(dx * dx + dz * dz) + 1e-9) * SUN_FLAT)
            warm = warm * warm
            up = least(most(1.25 * dy, spread(0.0)), spread(1.0))
            s = 1.0 - (1.0 - up) * (1.0 - up)
            store(notes, m + FOG_R, (178.0 + 58.0 * warm) * (1.0 - s) + 92.0 * s)
            store(notes, m + FOG_G, (200.0 + 14.0 * warm) * (1.0 - s) + 142.0 * s)
            store(notes, m + FOG_B, (226.0 - 38.0 * warm) * (1.0 - s) + 222.0 * s)
        if not anywhere(face >= 0.0):
            continue
        # Across and down on the face, seen from outside, in [0, 1].
        hx, hy, hz = ox + dx * t, oy + dy * t, oz + dz * t
        hx, hy, hz = hx - floor(hx), hy - floor(hy), hz - floor(hz)
        on_x, on_z = face < 2.0, face > 3.0
        on_y = (face > 1.0) & (face < 4.0)
        u = choose(on_x, hz, hx)
        u = choose((face == 1.0) | (face == 4.0), 1.0 - u, u)
        v = choose(on_y, hz, 1.0 - hy)
        # The squared footprint in texels picks the picture's level.
        spread_ = t * angle * 16.0
        slant = size_of(choose(on_x, dx, choose(on_y, dy, dz)))
        wide = spread_ * spread_ / most(slant, spread(0.05))
        side, first = spread(16.0), spread(0.0)
        side, first = choose(wide > 2.0, spread(8.0), side), choose(wide > 2.0, spread(256.0), first)
        side, first = choose(wide > 8.0, spread(4.0), side), choose(wide > 8.0, spread(320.0), first)
        side, first = choose(wide > 32.0, spread(2.0), side), choose(wide > 32.0, spread(336.0), first)
        side, first = choose(wide > 128.0, spread(1.0), side), choose(wide > 128.0, spread(340.0), first)
        row = least(most(floor(v * side), spread(0.0)), side - 1.0)
        col = least(most(floor(u * side), spread(0.0)), side - 1.0)
        store(notes, m + TEXEL, first + row * side + col)
        x, y, z = load(ends, e + CELL_X), load(ends, e + CELL_Y), load(ends, e + CELL_Z)
        store(notes, m + CELL, (x * float(ny) + y) * float(nz) + z)
        store(notes, m + SUM, x * 7.0 + y * 29.0 + z * 13.0)
        store(notes, m + PLANE, choose(on_x, x, choose(on_y, y, z)))
        out = choose((face == 1.0) | (face == 3.0) | (face == 5.0), spread(1.0), spread(-1.0))
        a, b, c = choose(on_x, x + out, x), choose(on_y, y + out, y), choose(on_z, z + out, z)
        inside = (a >= 0.0) & (a < float(nx)) & (c >= 0.0) & (c < float(nz))
        store(notes, m + COLUMN, choose(inside, a * float(nz) + c, spread(0.0)))
        store(notes, m + HEIGHT, choose(inside, b, spread(1e9)))

    left = 0
    for n in range(count):
        pack, lane = n >> 3, n & 7
        e, m, k = pack * END + lane, pack * NOTES + lane, pack * COLOUR + lane
        face = int(ends[e + FACE])
        if face < 0:
            rest[left] = n
            left += 1
            continue
        block = np.int64(cells[np.uint64(notes[m + CELL])])
        picture = kinds[np.uint64(block * 6 + face)]
        shade = LIGHT[np.uint64(face)] * VARY[np.uint64(int(notes[m + SUM]) & 63)]
        # Darker where something is above the cell that the face looks into, and under water.
        shade *= 0.74 if notes[m + HEIGHT] < columns[np.uint64(notes[m + COLUMN])] else 1.0
        water = ends[e + WATER_FACE]
        shade *= 0.8 if (water >= 0.0) & (water < 8.0) else 1.0
        first = np.uint64((picture * 341 + int(notes[m + TEXEL])) * 3)
        r, g, b = (
            pictures[first] * shade,
            pictures[first + np.uint64(1)] * shade,
            pictures[first + np.uint64(2)] * shade,
        )
        if tinted[block]:
            first = np.uint64((int(ends[e + CELL_X]) * nz + int(ends[e + CELL_Z])) * 3)
            r, g, b = r * hues[first], g * hues[first + np.uint64(1)], b * hues[first + np.uint64(2)]
        colours[k + RED], colours[k + GREEN], colours[k + BLUE] = r, g, b
        keys[n] = ((picture * 8 + face) << 6) + int(notes[m + PLANE]) + 1

    for pack in range(count // LANES):
        m, k = pack * NOTES, pack * COLOUR
        fog = load(notes, m + FOG)
        if anywhere(fog > 0.0):
            r, g, b = load(colours, k + RED), load(colours, k + GREEN), load(colours, k + BLUE)
            store(colours, k + RED, r + (load(notes, m + FOG_R) - r) * fog)
            store(colours, k + GREEN, g + (load(notes, m + FOG_G) - g) * fog)
            store(colours, k + BLUE, b + (load(notes, m + FOG_B) - b) * fog)

    # The rays that end on no block: on the endless sea around the world, or in the sky.
    for i in range(left):
        n = rest[i]
        e, m, k = (n >> 3) * END + (n & 7), (n >> 3) * NOTES + (n & 7), (n >> 3) * COLOUR + (n & 7)
        dx, dy, dz = ends[e + DX], ends[e + DY], ends[e + DZ]
        r, g, b = notes[m + FOG_R], notes[m + FOG_G], notes[m + FOG_B]
        key = 0
        sea = max(0.0, (SEA - oy) / dy) if dy < -1e-6 else 1e9
        if submerged:
            pass
        elif ends[e + T] <= far and sea < far:
            wide = sea * angle * 16.0
            u, v = _on_face(3, ox + dx * sea, 0.0, oz + dz * sea)
            at = _texel(u, v, wide * wide / max(-dy, 0.05))
            picture = faces[WATER, 3]
            mirror = 0.55 * (1.0 + dy) * (1.0 + dy)
            mix = 1.0 - (1.0 - mirror) * (1.0 - _fog(sea, near, far))
            r = 0.94 * texels[picture, at, 0] * (1.0 - mix) + r * mix
            g = 0.94 * texels[picture, at, 1] * (1.0 - mix) + g * mix
            b = 0.94 * texels[picture, at, 2] * (1.0 - mix) + b * mix
            key = 1 << 21
        elif dy > 0.0 and ends[e + WATER_FACE] < 0.0:
            if dy > 0.04:
                u = (ox + dx / dy * 44.0) / 448.0
                v = (oz + dz / dy * 44.0) / 448.0
                u, v = (u - math.floor(u)) * 64.0, (v - math.floor(v)) * 64.0
                a, c = int(u), int(v)
                fu, fv = u - a, v - c
                a, c = a & 63, c & 63
                cover = (clouds[a, c] * (1 - fu) + clouds[(a + 1) & 63, c] * fu) * (1 - fv)
                cover += (clouds[a, (c + 1) & 63] * (1 - fu) + clouds[(a + 1) & 63, (c + 1) & 63] * fu) * fv
                cover *= min(1.0, (dy - 0.04) * 5.0) * 0.85
                r, g, b = r + (250.0 - r) * cover, g + (250.0 - g) * cover, b + (252.0 - b) * cover
            near_sun = dx * SUN_X + dy * SUN_Y + dz * SUN_Z
            if near_sun > 0.85:
                glow = (near_sun - 0.85) / 0.15
                glow = max(glow * glow * glow * 0.6, min(1.0, max(0.0, (near_sun - 0.9925) * 900.0)))
                r, g, b = r + (255.0 - r) * glow, g + (244.0 - g) * glow, b + (190.0 - b) * glow
        colours[k + RED], colours[k + GREEN], colours[k + BLUE] = r, g, b
        keys[n] = key
    if submerged:
        return

    # The water's surface, over the rays that went through it on the way.
    for n in range(count):
        e, m, k = (n >> 3) * END + (n & 7), (n >> 3) * NOTES + (n & 7), (n >> 3) * COLOUR + (n & 7)
        if ends[e + WATER_FACE] < 0.0:
            continue
        entry = int(ends[e + WATER_FACE]) & 7
        dx, dy, dz, t = ends[e + DX], ends[e + DY], ends[e + DZ], ends[e + WATER_T]
        slant = abs(dy) if entry == 3 or entry == 2 else (abs(dx) if entry < 2 else abs(dz))
        u, v = _on_face(entry, ox + dx * t, oy + dy * t, oz + dz * t)
        wide = t * angle * 16.0
        at = _texel(u, v, wide * wide / max(slant, 0.05))
        picture = faces[WATER, entry]
        grazing = 1.0 - abs(dy)
        mirror = 0.55 * grazing * grazing
        part = min(1.0, 0.66 + 0.4 * grazing)
        mix = 1.0 - (1.0 - mirror) * (1.0 - _fog(t, near, far))
        for c in range(3):
            below = colours[k + c * LANES]
            above = texels[picture, at, c] * (1.0 - mix) + notes[m + FOG_R + c * LANES] * mix
            colours[k + c * LANES] = below + (above - below) * part
        keys[n] += 1 << 22
