"""Pictures of a grid of blocks: one ray a pixel walks from cell to cell, four where surfaces meet.

The compiled functions stay together in this file, because numba's cache notices changes in a function's own file only.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from envs.blocks.materials import TINTED, WATER
from envs.blocks.room import OUTSIDE
from envs.blocks.terrain import SEA, noise
from envs.blocks.textures import atlas

FOV = 70.0  # degrees, both ways
FOG_START, FOG_END = 12.0, 38.0  # blocks
DIM_END = 14.0  # blocks that one sees under water
# More rays in a pixel in which surfaces meet: a triangle about its middle (down, right).
EXTRA_ROWS, EXTRA_COLS = (0.093, 0.258, -0.351), (0.348, -0.254, -0.080)
EXTRA = 3
BATCH = 512  # rays that are followed and painted together
NEVER = 1e9  # a distance beyond all sight

TEXELS, FACES = atlas()
# Light by face (-x, +x, -y, +y, -z, +z): six different shades, so that a corner always shows.
LIGHT = np.array([0.66, 0.76, 0.52, 1.0, 0.84, 0.90])
# Brightness of single blocks, by a sum of their coordinates; a few percent.
VARY = 1.0 + 0.025 * np.random.default_rng(11).standard_normal(64).clip(-2, 2)
_SUN_YAW, _SUN_HEIGHT = math.radians(-60.0), math.radians(28.0)
SUN_X = -math.sin(_SUN_YAW) * math.cos(_SUN_HEIGHT)
SUN_Y = math.sin(_SUN_HEIGHT)
SUN_Z = math.cos(_SUN_YAW) * math.cos(_SUN_HEIGHT)
SUN_FLAT = math.cos(_SUN_HEIGHT)


def _clouds() -> NDArray[np.float64]:
    """Cloud cover in [0, 1] on a torus of 64x64 knots."""
    rng = np.random.default_rng(23)
    field = noise(rng, (64, 64), 7) + 0.5 * noise(rng, (64, 64), 3)
    ramp = np.minimum(1.0, np.minimum(np.arange(64), 63 - np.arange(64)) / 6)  # nothing on the seam
    return np.clip((field - 0.78) * 3.5, 0, 1) * ramp[:, None] * ramp[None, :]


CLOUDS = _clouds()


@njit(cache=True, error_model="numpy")
def _sky(dx, dy, dz):  # type: ignore[no-untyped-def]
    """Colour of the clear sky, which is the fog's colour too: warm at the horizon below the sun."""
    warm = 0.5 + 0.5 * (dx * SUN_X + dz * SUN_Z) / ((math.sqrt(dx * dx + dz * dz) + 1e-9) * SUN_FLAT)
    warm = warm * warm
    up = min(1.0, max(0.0, 1.25 * dy))
    s = 1.0 - (1.0 - up) * (1.0 - up)
    return (
        (178.0 + 58.0 * warm) * (1.0 - s) + 92.0 * s,
        (200.0 + 14.0 * warm) * (1.0 - s) + 142.0 * s,
        (226.0 - 38.0 * warm) * (1.0 - s) + 222.0 * s,
    )


@njit(cache=True, error_model="numpy")
def _aim(view, rows, cols, count, size, rays):  # type: ignore[no-untyped-def]
    """Directions of length 1 through places of the picture, counted in pixels, and their inverses.

    Straight loops over separate arrays: the compiler makes several rays at once of them.
    """
    dxs, dys, dzs, gxs, gys, gzs, reds, greens, blues = rays
    half = math.tan(math.radians(FOV) / 2)
    fx, fy, fz, rx, ry, rz, ux, uy, uz = view
    for n in range(count):
        right = (cols[n] * 2.0 / size - 1.0) * half
        up = (1.0 - rows[n] * 2.0 / size) * half
        dx, dy, dz = fx + right * rx + up * ux, fy + right * ry + up * uy, fz + right * rz + up * uz
        norm = 1.0 / math.sqrt(dx * dx + dy * dy + dz * dz)
        dxs[n] = dx * norm
        dys[n] = dy * norm
        dzs[n] = dz * norm
    for ds, gs in ((dxs, gxs), (dys, gys), (dzs, gzs)):
        for n in range(count):
            gs[n] = 1.0 / max(abs(ds[n]), 1e-12)
    for n in range(count):
        reds[n], greens[n], blues[n] = _sky(dxs[n], dys[n], dzs[n])


# The walk and the painting are two loops over all rays: numba counts references of arrays handed to a
# function atomically, which for a function called once a ray costs more than the ray.


@njit(cache=True, error_model="numpy")
def _walk(grid, room, eye, count, rays, hits, depths):  # type: ignore[no-untyped-def]
    """Follow rays to the first block that is not air, through water.

    Each ray is walked in a mirrored world in which it goes up all three axes.

    Args:
        grid: uint8 (NX, NY, NZ) blocks; room: uint8 (n,), what `room_field` makes of them, in one row.
        eye: where the rays start; count: how many; rays: their directions and inverses, from `_aim`.
        hits: int64 (n, 5) to fill: cell x, y, z, its face (-1: nothing in sight), the face by which the ray
            entered water (-1: it did not; 6: it starts there; plus 8 where it left the water again).
        depths: float64 (n, 2) to fill: distance of the hit, and of the water.
    """
    nx, ny, nz = grid.shape
    dxs, dys, dzs, gxs, gys, gzs, _, _, _ = rays
    step_x, step_y, volume = (ny + 2) * (nz + 2), nz + 2, (nx + 2) * (ny + 2) * (nz + 2)
    ex, ey, ez = int(math.floor(eye[0])), int(math.floor(eye[1])), int(math.floor(eye[2]))
    within = ex >= 0 and ex < nx and ey >= 0 and ey < ny and ez >= 0 and ez < nz
    for n in range(count):
        px, py, pz = dxs[n] > 0, dys[n] > 0, dzs[n] > 0
        dx, dy, dz = abs(dxs[n]), abs(dys[n]), abs(dzs[n])
        gx, gy, gz = gxs[n], gys[n], gzs[n]
        # The eye and its cell, counted from the margin on the side that the ray comes from.
        ox, ix = (eye[0] + 1, ex + 1) if px else (nx + 1 - eye[0], nx - ex)
        oy, iy = (eye[1] + 1, ey + 1) if py else (ny + 1 - eye[1], ny - ey)
        oz, iz = (eye[2] + 1, ez + 1) if pz else (nz + 1 - eye[2], nz - ez)
        ax, ay, az = (step_x if px else -step_x), (step_y if py else -step_y), (1 if pz else -1)
        base = (4 * int(px) + 2 * int(py) + int(pz)) * volume
        base += (0 if px else (nx + 1) * step_x) + (0 if py else (ny + 1) * step_y) + (0 if pz else nz + 1)
        t, axis, far = 0.0, 1, FOG_END
        face, water, water_t, wet = -1, -1, 0.0, False
        if not within:
            t = (eye[1] - ny) * gy + 1e-9  # comes down into the grid from above, or never
            ix, iy, iz = int(ox + dx * t), int(oy + dy * t), int(oz + dz * t)
            if py or ix < 1 or ix > nx or iy < 1 or iy > ny or iz < 1 or iz > nz:
                t = NEVER
        at = base + ix * ax + iy * ay + iz * az
        tx, ty, tz = (ix + 1 - ox) * gx, (iy + 1 - oy) * gy, (iz + 1 - oz) * gz
        start = within
        while t <= far:
            d = int(room[at])
            if d <= 1:
                if d == 0:
                    a, b, c = (
                        (ix - 1 if px else nx - ix),
                        (iy - 1 if py else ny - iy),
                        (iz - 1 if pz else nz - iz),
                    )
                    is_water = grid[a, b, c] == WATER
                    entry = 1 - int(px) if axis == 0 else (3 - int(py) if axis == 1 else 5 - int(pz))
                    if start:
                        if is_water:
                            wet, water, far = True, 6, DIM_END
                    elif not is_water:
                        face = entry
                        break
                    elif not wet:
                        wet = True
                        if water < 0:
                            water, water_t = entry, t
                elif wet:
                    wet = False
                    water |= 8
                start = False
                if tx < ty and tx < tz:
                    t, axis = tx, 0
                    ix += 1
                    at += ax
                    tx = (ix + 1 - ox) * gx
                elif ty < tz:
                    t, axis = ty, 1
                    iy += 1
                    at += ay
                    ty = (iy + 1 - oy) * gy
                else:
                    t, axis = tz, 2
                    iz += 1
                    at += az
                    tz = (iz + 1 - oz) * gz
                continue
            if d == OUTSIDE:
                break
            if wet:
                wet = False
                water |= 8
            start = False
            # Leave the cube of d cells by the nearest of its three far faces; rounding must not lead out of it
            # by another one.
            bx, by, bz = ix + d, iy + d, iz + d
            tx, ty, tz = (bx - ox) * gx, (by - oy) * gy, (bz - oz) * gz
            if tx < ty and tx < tz:
                t, axis = tx, 0
                ix = bx
                iy = min(max(int(oy + dy * t), iy), by - 1)
                iz = min(max(int(oz + dz * t), iz), bz - 1)
            elif ty < tz:
                t, axis = ty, 1
                iy = by
                ix = min(max(int(ox + dx * t), ix), bx - 1)
                iz = min(max(int(oz + dz * t), iz), bz - 1)
            else:
                t, axis = tz, 2
                iz = bz
                ix = min(max(int(ox + dx * t), ix), bx - 1)
                iy = min(max(int(oy + dy * t), iy), by - 1)
            at = base + ix * ax + iy * ay + iz * az
            tx, ty, tz = (ix + 1 - ox) * gx, (iy + 1 - oy) * gy, (iz + 1 - oz) * gz
        hits[n, 0] = ix - 1 if px else nx - ix
        hits[n, 1] = iy - 1 if py else ny - iy
        hits[n, 2] = iz - 1 if pz else nz - iz
        hits[n, 3], hits[n, 4] = face, water
        depths[n, 0], depths[n, 1] = t, water_t


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
def _paint(  # type: ignore[no-untyped-def]
    grid,
    tops,
    tint,
    texels,
    faces,
    tinted,
    light,
    vary,
    clouds,
    eye,
    angle,
    count,
    rays,
    hits,
    depths,
    colours,
    keys,
):  # type: ignore[no-untyped-def]
    """Colours (n, 3) in 0..255 of rays that `_walk` followed, and keys (n,) of the surfaces that they met."""
    nx, _, nz = grid.shape
    ox, oy, oz = eye
    dxs, dys, dzs, _, _, _, reds, greens, blues = rays
    for n in range(count):
        dx, dy, dz = dxs[n], dys[n], dzs[n]
        ix, iy, iz, face, water = hits[n, 0], hits[n, 1], hits[n, 2], hits[n, 3], hits[n, 4]
        t = depths[n, 0]
        key = 0
        near, far = FOG_START, FOG_END
        fog_r, fog_g, fog_b = reds[n], greens[n], blues[n]
        submerged = water >= 0 and (water & 7) == 6
        if submerged:
            near, far = -3.0, DIM_END
            fog_r, fog_g, fog_b = 48.0, 84.0, 148.0

        # What the ray ends on: a block, the endless sea around the world, or the sky.
        if face >= 0:
            axis = face >> 1
            ax, ay, az = ix, iy, iz  # the cell that the face looks into
            if axis == 0:
                slant = abs(dx)
                plane = ix
                ax += 2 * face - 1
            elif axis == 1:
                slant = abs(dy)
                plane = iy
                ay += 2 * face - 5
            else:
                slant = abs(dz)
                plane = iz
                az += 2 * face - 9
            hx, hy, hz = ox + dx * t, oy + dy * t, oz + dz * t
            if axis == 0:
                hx = ix + 0.5
            elif axis == 1:
                hy = iy + 0.5
            else:
                hz = iz + 0.5
            u, v = _on_face(face, hx, hy, hz)
            spread = t * angle * 16.0
            block = grid[ix, iy, iz]
            picture = faces[block, face]
            k = _texel(u, v, spread * spread / max(slant, 0.05))
            shade = light[face] * vary[(ix * 7 + iy * 29 + iz * 13) & 63]
            if ax >= 0 and ax < nx and az >= 0 and az < nz and ay < tops[ax, az]:
                shade *= 0.74  # something is above it
            if water >= 0 and water < 8:
                shade *= 0.8
            r, g, b = (
                texels[picture, k, 0] * shade,
                texels[picture, k, 1] * shade,
                texels[picture, k, 2] * shade,
            )
            if tinted[block]:
                r, g, b = r * tint[ix, iz, 0], g * tint[ix, iz, 1], b * tint[ix, iz, 2]
            fog = _fog(t, near, far)
            r, g, b = r + (fog_r - r) * fog, g + (fog_g - g) * fog, b + (fog_b - b) * fog
            key = ((picture * 8 + face) << 6) + plane + 1
        else:
            r, g, b = fog_r, fog_g, fog_b
            sea = max(0.0, (SEA - oy) / dy) if dy < -1e-6 else 1e9
            if submerged:
                pass
            elif t <= far and sea < far:
                spread = sea * angle * 16.0
                u, v = _on_face(3, ox + dx * sea, 0.0, oz + dz * sea)
                k = _texel(u, v, spread * spread / max(-dy, 0.05))
                picture = faces[WATER, 3]
                mirror = 0.55 * (1.0 + dy) * (1.0 + dy)
                mix = 1.0 - (1.0 - mirror) * (1.0 - _fog(sea, near, far))
                r = 0.94 * texels[picture, k, 0] * (1.0 - mix) + fog_r * mix
                g = 0.94 * texels[picture, k, 1] * (1.0 - mix) + fog_g * mix
                b = 0.94 * texels[picture, k, 2] * (1.0 - mix) + fog_b * mix
                key = 1 << 21
            elif dy > 0.0 and water < 0:
                if dy > 0.04:
                    u = (ox + dx / dy * 44.0) / 448.0
                    v = (oz + dz / dy * 44.0) / 448.0
                    u, v = (u - math.floor(u)) * 64.0, (v - math.floor(v)) * 64.0
                    i, j = int(u), int(v)
                    fu, fv = u - i, v - j
                    i, j = i & 63, j & 63
                    cover = (clouds[i, j] * (1 - fu) + clouds[(i + 1) & 63, j] * fu) * (1 - fv)
                    cover += (
                        clouds[i, (j + 1) & 63] * (1 - fu) + clouds[(i + 1) & 63, (j + 1) & 63] * fu
                    ) * fv
                    cover *= min(1.0, (dy - 0.04) * 5.0) * 0.85
                    r, g, b = r + (250.0 - r) * cover, g + (250.0 - g) * cover, b + (252.0 - b) * cover
                near_sun = dx * SUN_X + dy * SUN_Y + dz * SUN_Z
                if near_sun > 0.85:
                    glow = (near_sun - 0.85) / 0.15
                    glow = max(glow * glow * glow * 0.6, min(1.0, max(0.0, (near_sun - 0.9925) * 900.0)))
                    r, g, b = r + (255.0 - r) * glow, g + (244.0 - g) * glow, b + (190.0 - b) * glow

        # The water's surface that it went through on the way.
        if water >= 0 and not submerged:
            entry = water & 7
            t = depths[n, 1]
            slant = abs(dy) if entry == 3 or entry == 2 else (abs(dx) if entry < 2 else abs(dz))
            u, v = _on_face(entry, ox + dx * t, oy + dy * t, oz + dz * t)
            spread = t * angle * 16.0
            k = _texel(u, v, spread * spread / max(slant, 0.05))
            picture = faces[WATER, entry]
            grazing = 1.0 - abs(dy)
            mirror = 0.55 * grazing * grazing
            part = min(1.0, 0.66 + 0.4 * grazing)
            mix = 1.0 - (1.0 - mirror) * (1.0 - _fog(t, near, far))
            wr = texels[picture, k, 0] * (1.0 - mix) + fog_r * mix
            wg = texels[picture, k, 1] * (1.0 - mix) + fog_g * mix
            wb = texels[picture, k, 2] * (1.0 - mix) + fog_b * mix
            r, g, b = r + (wr - r) * part, g + (wg - g) * part, b + (wb - b) * part
            key += 1 << 22
        colours[n, 0], colours[n, 1], colours[n, 2] = r, g, b
        keys[n] = key


@njit(cache=True, error_model="numpy")
def _draw(  # type: ignore[no-untyped-def]
    grid, room, tops, tint, texels, faces, tinted, light, vary, clouds, eye, view, size, smooth, buffers
):  # type: ignore[no-untyped-def]
    total = size * size
    angle = 2.0 * math.tan(math.radians(FOV) / 2) / size
    rooms = room.reshape(-1)
    rows, cols, rays, hits, depths, colours, kinds, first, keys, mixed = buffers
    out = np.empty((total, 3), np.uint8)
    i, j = 0, 0
    for start in range(0, total, BATCH):  # the rays of a batch stay in the cache
        count = min(BATCH, total - start)
        for n in range(count):
            rows[n], cols[n] = i + 0.5, j + 0.5
            j += 1
            if j == size:
                i, j = i + 1, 0
        _aim(view, rows, cols, count, size, rays)
        _walk(grid, rooms, eye, count, rays, hits, depths)
        _paint(
            grid, tops, tint, texels, faces, tinted, light, vary, clouds,
            eye, angle, count, rays, hits, depths, colours, kinds,
        )  # fmt: skip
        for n in range(count):
            keys[start + n] = kinds[n]
            for c in range(3):
                first[start + n, c] = colours[n, c]
                out[start + n, c] = np.uint8(min(255.0, colours[n, c] + 0.5))
    if not smooth:
        return out.reshape(size, size, 3)

    # More rays where neighbouring pixels show different surfaces.
    many = 0
    for i in range(size):
        for j in range(size):
            n = i * size + j
            k = keys[n]
            mixed[many, 0], mixed[many, 1] = i, j
            many += int(
                (keys[n - size if i > 0 else n] != k)
                | (keys[n - 1 if j > 0 else n] != k)
                | (keys[n + size if i < size - 1 else n] != k)
                | (keys[n + 1 if j < size - 1 else n] != k)
            )
    pixels = BATCH // EXTRA
    for start in range(0, many, pixels):
        count = min(pixels, many - start)
        for m in range(count):
            for s in range(EXTRA):
                rows[m * EXTRA + s] = mixed[start + m, 0] + 0.5 + EXTRA_ROWS[s]
                cols[m * EXTRA + s] = mixed[start + m, 1] + 0.5 + EXTRA_COLS[s]
        _aim(view, rows, cols, count * EXTRA, size, rays)
        _walk(grid, rooms, eye, count * EXTRA, rays, hits, depths)
        _paint(
            grid, tops, tint, texels, faces, tinted, light, vary, clouds,
            eye, angle, count * EXTRA, rays, hits, depths, colours, kinds,
        )  # fmt: skip
        for m in range(count):
            n = mixed[start + m, 0] * size + mixed[start + m, 1]
            for c in range(3):
                mean = first[n, c]
                for s in range(EXTRA):
                    mean += colours[m * EXTRA + s, c]
                out[n, c] = np.uint8(min(255.0, mean / (1 + EXTRA) + 0.5))
    return out.reshape(size, size, 3)


class _Buffers(threading.local):
    """Working memory by picture size, kept from call to call: fresh memory costs more than the rays do."""

    def __init__(self) -> None:
        self.by_size: dict[int, tuple[Any, ...]] = {}

    def get(self, size: int) -> tuple[Any, ...]:
        if size not in self.by_size:
            total = size * size
            self.by_size[size] = (
                np.zeros(BATCH), np.zeros(BATCH), tuple(np.zeros(BATCH) for _ in range(9)),  # rows, cols, rays
                np.zeros((BATCH, 5), np.int64), np.zeros((BATCH, 2)),  # hits, depths
                np.zeros((BATCH, 3)), np.zeros(BATCH, np.int64),  # colours, kinds
                np.zeros((total, 3)), np.zeros(total, np.int64), np.zeros((total, 2), np.int64),  # first, keys, mixed
            )  # fmt: skip
        return self.by_size[size]


_buffers = _Buffers()


def draw(
    grid: NDArray[np.uint8],
    room: NDArray[np.uint8],
    tops: NDArray[np.int64],
    tint: NDArray[np.float32],
    pose: NDArray[np.float64],
    size: int,
    smooth: bool = True,
) -> NDArray[np.uint8]:
    """Draw what a camera sees.

    Args:
        grid, room, tops: the blocks (NX, NY, NZ) and what `room_field` and `tops_of` make of them.
        tint: float32 (NX, NZ, 3) hue of grass and leaves.
        pose: (x, y, z, yaw, pitch) of the camera, in blocks and degrees.
        size: height and width in pixels.
        smooth: four rays instead of one in the pixels in which surfaces meet.
    Returns:
        uint8 (size, size, 3), row 0 at the top.
    """
    x, y, z = (float(v) for v in pose[:3])
    yaw, pitch = math.radians(pose[3]), math.radians(pose[4])
    sy, cy, sp, cp = math.sin(yaw), math.cos(yaw), math.sin(pitch), math.cos(pitch)
    forward, right, up = (-sy * cp, -sp, cy * cp), (-cy, 0.0, -sy), (-sy * sp, cp, cy * sp)
    picture: NDArray[np.uint8] = _draw(
        grid, room, tops, tint, TEXELS, FACES, TINTED, LIGHT, VARY, CLOUDS,
        (x, y, z), (*forward, *right, *up), size, smooth, _buffers.get(size),
    )  # fmt: skip
    return picture
