"""What rays look like: blocks, the water's surface, the endless sea, the sky, and the fog before all of them.

Compiled functions call only what stands in their own file or in `lanes`: numba's cache does not notice
changes in others.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from envs.blocks.lanes import (
    LANES,
    anywhere,
    choose,
    floor,
    least,
    load,
    most,
    real,
    root,
    size_of,
    spread,
    store,
    take,
    whole,
)
from envs.blocks.materials import WATER
from envs.blocks.terrain import SEA, noise
from envs.blocks.walk import (
    CELL_X,
    CELL_Y,
    CELL_Z,
    DIM_END,
    DX,
    DY,
    DZ,
    END,
    FACE,
    FOG_END,
    WATER_FACE,
    WATER_T,
    T,
)  # fmt: skip

FOG_START = 12.0  # blocks

# Light by face (-x, +x, -y, +y, -z, +z): six different shades, so that a corner always shows.
LIGHT = np.array([0.66, 0.76, 0.52, 1.0, 0.84, 0.90])
# Brightness of single blocks, by a sum of their coordinates; a few percent.
VARY = 1.0 + 0.025 * np.random.default_rng(11).standard_normal(64).clip(-2, 2)
SHADES = (LIGHT[:, None] * VARY).reshape(-1)
_SUN_YAW, _SUN_HEIGHT = math.radians(-60.0), math.radians(28.0)
SUN_X = -math.sin(_SUN_YAW) * math.cos(_SUN_HEIGHT)
SUN_Y = math.sin(_SUN_HEIGHT)
SUN_Z = math.cos(_SUN_YAW) * math.cos(_SUN_HEIGHT)
SUN_FLAT = math.cos(_SUN_HEIGHT)

BATCH = 256  # rays that are painted together: what belongs to them stays in the nearest cache
# Rows of what the painter notes of eight rays: fog and its colour; height of the cell that the face looks into, light
# and variation of the face. Then, half as long, of int32: where to look for the block, for its texel in the picture,
# for the shade, for the column's top and hue; the face and where on its axis; and what is found there: picture, texel
# and top. Then three more, of float32: the hue of its region.
FOG, FOG_R, FOG_G, FOG_B, HEIGHT, SHADE = range(0, 48, LANES)
CELL, TEXEL, LIT, COLUMN, REGION, WAY, LOOK, FOUND, TOP, HUE = range(96, 176, LANES)
NOTES = 96
RED, GREEN, BLUE = range(0, 24, LANES)
COLOUR = 24


def _clouds() -> NDArray[np.float64]:
    """Cloud cover in [0, 1] on a torus of 64x64 knots."""
    rng = np.random.default_rng(23)
    field = noise(rng, (64, 64), 7) + 0.5 * noise(rng, (64, 64), 3)
    ramp = np.minimum(1.0, np.minimum(np.arange(64), 63 - np.arange(64)) / 6)  # nothing on the seam
    return np.clip((field - 0.78) * 3.5, 0, 1) * ramp[:, None] * ramp[None, :]


CLOUDS = _clouds().reshape(-1)
UNTINTED = (1 << 20) - 1  # looks above this take the hue of their region


def palette(
    texels: NDArray[np.uint8], faces: NDArray[np.int64], tinted: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Pictures as the painter reads them, from `atlas`.

    Returns:
        int32 (pictures * 341,): texels, red in the lowest byte; int32 (256 * 6,): by block and face, the place of the
        picture's first texel, and a bit above UNTINTED where the block takes the hue of its region.
    """
    wide = texels.astype(np.int32)
    colours = wide[..., 0] | wide[..., 1] << 8 | wide[..., 2] << 16
    looks = faces * texels.shape[1] + np.where(tinted, UNTINTED + 1, 0)[:, None]
    return colours.reshape(-1), looks.astype(np.int32).reshape(-1)


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
    shape,
    cells,
    columns,
    hues,
    texels,
    looks,
    sheet,
    eye,
    angle,
    count,
    ends,
    notes,
    wholes,
    singles,
    colours,
    keys,
):  # type: ignore[no-untyped-def]
    """Paint rays that `cast` followed.

    Args:
        shape: of the grid; cells, columns, hues: grid, tops and tint as in `draw`, flat.
        texels: int32 (n,) and looks: int32 (1536,) from `palette`.
        sheet: float64 (64 * 64,) cover of clouds; eye: where the rays start; angle: between two pixels.
        count: how many rays, a multiple of eight; ends: from `cast`.
        notes: float64 (BATCH / 8 * NOTES,), memory to work in; wholes, singles: the same as int32 and as float32.
        colours: float64 (n / 8 * COLOUR,) to fill: red, green and blue in 0..255 of eight rays each.
        keys: int32 (n,) to fill: a number of the surface that each ray met.
    """
    nx, ny, nz = shape
    ox, oy, oz = eye
    submerged = int(ends[WATER_FACE]) & 7 == 6 and ends[WATER_FACE] >= 0.0  # all rays start in one place
    near, far = (-3.0, DIM_END) if submerged else (FOG_START, FOG_END)

    for start in range(0, count // LANES, BATCH // LANES):
        packs = min(BATCH, count - start * LANES) // LANES
        for pack in range(packs):
            e, m = (start + pack) * END, pack * NOTES
            n = 2 * m
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
            met = face >= 0.0
            if not anywhere(met):
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
            store(wholes, n + TEXEL, whole(first + row * side + col))
            x, y, z = load(ends, e + CELL_X), load(ends, e + CELL_Y), load(ends, e + CELL_Z)
            x, y, z = choose(met, x, spread(0.0)), choose(met, y, spread(0.0)), choose(met, z, spread(0.0))
            store(wholes, n + CELL, whole((x * float(ny) + y) * float(nz) + z))
            store(wholes, n + REGION, whole((x * float(nz) + z) * 3.0))
            way = whole(most(face, spread(0.0)))
            store(wholes, n + WAY, way << 6 | whole(choose(on_x, x, choose(on_y, y, z))))
            store(wholes, n + LIT, way << 6 | (whole(x * 7.0 + y * 29.0 + z * 13.0) & 63))
            out = choose((face == 1.0) | (face == 3.0) | (face == 5.0), spread(1.0), spread(-1.0))
            a, b, c = choose(on_x, x + out, x), choose(on_y, y + out, y), choose(on_z, z + out, z)
            inside = (a >= 0.0) & (a < float(nx)) & (c >= 0.0) & (c < float(nz))
            store(wholes, n + COLUMN, whole(choose(inside, a * float(nz) + c, spread(0.0))))
            store(notes, m + HEIGHT, choose(inside, b, spread(1e9)))

            for i in range(LANES):  # unsigned places: numba counts none of them from the end
                n = 2 * m + i
                look = looks[
                    np.uint64(
                        cells[np.uint64(wholes[np.uint64(n + CELL)])] * 6 + (wholes[np.uint64(n + WAY)] >> 6)
                    )
                ]
                wholes[np.uint64(n + LOOK)] = look
                wholes[np.uint64(n + FOUND)] = texels[
                    np.uint64((look & UNTINTED) + wholes[np.uint64(n + TEXEL)])
                ]
                wholes[np.uint64(n + TOP)] = columns[np.uint64(wholes[np.uint64(n + COLUMN)])]
                notes[np.uint64(m + SHADE + i)] = SHADES[np.uint64(wholes[np.uint64(n + LIT)])]
                region = wholes[np.uint64(n + REGION)]
                for c in range(3):
                    singles[np.uint64(n + HUE + c * LANES)] = hues[np.uint64(region + c)]

        for pack in range(packs):
            e, m, k = (start + pack) * END, pack * NOTES, (start + pack) * COLOUR
            n = 2 * m
            fog, face, wet = load(notes, m + FOG), load(ends, e + FACE), load(ends, e + WATER_FACE)
            open_ = face < 0.0
            shade = load(notes, m + SHADE)
            # Darker where something is above the cell that the face looks into, and under water.
            shade = shade * choose(
                load(notes, m + HEIGHT) < real(load(wholes, n + TOP)), spread(0.74), spread(1.0)
            )
            shade = shade * choose((wet >= 0.0) & (wet < 8.0), spread(0.8), spread(1.0))
            look, texel = load(wholes, n + LOOK), load(wholes, n + FOUND)
            r, g, b = real(texel & 255) * shade, real(texel >> 8 & 255) * shade, real(texel >> 16) * shade
            tinted = look > UNTINTED
            r = choose(tinted, r * load(singles, n + HUE + RED), r)
            g = choose(tinted, g * load(singles, n + HUE + GREEN), g)
            b = choose(tinted, b * load(singles, n + HUE + BLUE), b)
            key = ((look & UNTINTED) << 9 | load(wholes, n + WAY)) + 1
            store(keys, (start + pack) * LANES, choose(open_, 0, key))
            if anywhere(open_ | (fog > 0.0)):
                fog_r, fog_g, fog_b = load(notes, m + FOG_R), load(notes, m + FOG_G), load(notes, m + FOG_B)
                r, g, b = r + (fog_r - r) * fog, g + (fog_g - g) * fog, b + (fog_b - b) * fog
                r, g, b = choose(open_, fog_r, r), choose(open_, fog_g, g), choose(open_, fog_b, b)
                dx, dy, dz = load(ends, e + DX), load(ends, e + DY), load(ends, e + DZ)
                sky = open_ & (dy > 0.0) & (wet < 0.0)
                if anywhere(sky) and not submerged:
                    cloudy = sky & (dy > 0.04)
                    down = choose(cloudy, dy, spread(1.0))
                    u, v = (ox + dx / down * 44.0) / 448.0, (oz + dz / down * 44.0) / 448.0
                    u, v = (u - floor(u)) * 64.0, (v - floor(v)) * 64.0
                    i, j = floor(u), floor(v)
                    fu, fv = u - i, v - j
                    i0, i1 = real(whole(i) & 63) * 64.0, real(whole(i + 1.0) & 63) * 64.0
                    j0, j1 = real(whole(j) & 63), real(whole(j + 1.0) & 63)
                    low = take(sheet, whole(i0 + j0)) * (1.0 - fu) + take(sheet, whole(i1 + j0)) * fu
                    high = take(sheet, whole(i0 + j1)) * (1.0 - fu) + take(sheet, whole(i1 + j1)) * fu
                    cover = low * (1.0 - fv) + high * fv
                    cover = cover * (least((dy - 0.04) * 5.0, spread(1.0)) * 0.85)
                    cover = choose(cloudy, cover, spread(0.0))
                    r, g, b = r + (250.0 - r) * cover, g + (250.0 - g) * cover, b + (252.0 - b) * cover
                    near_sun = dx * SUN_X + dy * SUN_Y + dz * SUN_Z
                    bright = sky & (near_sun > 0.85)
                    if anywhere(bright):
                        glow = (near_sun - 0.85) / 0.15
                        disc = least(most((near_sun - 0.9925) * 900.0, spread(0.0)), spread(1.0))
                        glow = choose(bright, most(glow * glow * glow * 0.6, disc), spread(0.0))
                        r, g, b = r + (255.0 - r) * glow, g + (244.0 - g) * glow, b + (190.0 - b) * glow
            store(colours, k + RED, r)
            store(colours, k + GREEN, g)
            store(colours, k + BLUE, b)
            # The endless sea around the world.
            if anywhere(open_ & (load(ends, e + DY) < -1e-6)) and not submerged:
                for i in range(LANES):
                    dy_ = ends[e + DY + i]
                    sea = max(0.0, (SEA - oy) / dy_) if dy_ < -1e-6 else 1e9
                    if ends[e + FACE + i] < 0.0 and ends[e + T + i] <= far and sea < far:
                        wide_ = sea * angle * 16.0
                        u_, v_ = _on_face(3, ox + ends[e + DX + i] * sea, 0.0, oz + ends[e + DZ + i] * sea)
                        at = _texel(u_, v_, wide_ * wide_ / max(-dy_, 0.05))
                        mirror = 0.55 * (1.0 + dy_) * (1.0 + dy_)
                        mix = 1.0 - (1.0 - mirror) * (1.0 - _fog(sea, near, far))
                        for c in range(3):
                            colours[k + c * LANES + i] = (
                                0.94 * (texels[looks[6 * WATER + 3] + at] >> 8 * c & 255) * (1.0 - mix)
                                + notes[m + FOG_R + c * LANES + i] * mix
                            )
                        keys[(start + pack) * LANES + i] = 1 << 29
            # The water's surface, over the rays that went through it on the way.
            if anywhere(wet >= 0.0) and not submerged:
                for i in range(LANES):
                    if ends[e + WATER_FACE + i] < 0.0:
                        continue
                    entry = int(ends[e + WATER_FACE + i]) & 7
                    dx_, dy_, dz_, t_ = (
                        ends[e + DX + i],
                        ends[e + DY + i],
                        ends[e + DZ + i],
                        ends[e + WATER_T + i],
                    )
                    slant_ = abs(dy_) if entry == 3 or entry == 2 else (abs(dx_) if entry < 2 else abs(dz_))
                    u_, v_ = _on_face(entry, ox + dx_ * t_, oy + dy_ * t_, oz + dz_ * t_)
                    wide_ = t_ * angle * 16.0
                    at = _texel(u_, v_, wide_ * wide_ / max(slant_, 0.05))
                    grazing = 1.0 - abs(dy_)
                    mirror = 0.55 * grazing * grazing
                    part_ = min(1.0, 0.66 + 0.4 * grazing)
                    mix = 1.0 - (1.0 - mirror) * (1.0 - _fog(t_, near, far))
                    for c in range(3):
                        below = colours[k + c * LANES + i]
                        above = (texels[looks[6 * WATER + entry] + at] >> 8 * c & 255) * (1.0 - mix) + notes[
                            m + FOG_R + c * LANES + i
                        ] * mix
                        colours[k + c * LANES + i] = below + (above - below) * part_
                    keys[(start + pack) * LANES + i] += 1 << 30
