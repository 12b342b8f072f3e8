"""Rays through a grid of blocks: which way they go, and from cell to cell to what they meet.

Compiled functions call only what stands in their own file or in `lanes`: numba's cache does not notice
changes in others.
"""

from __future__ import annotations

import math

from numba import njit

from envs.blocks.lanes import (
    LANES,
    anywhere,
    bits,
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
    truths,
    whole,
)  # fmt: skip
from envs.blocks.room import AIR, BLOCKED, WET

FOV = 70.0  # degrees, both ways
FOG_END = 38.0  # blocks that one sees
DIM_END = 14.0  # blocks that one sees under water
NEVER = 1e9  # a distance beyond all sight
BATCH = 128  # rays that are walked together: what belongs to them stays in the nearest cache

# Rows of what is known of a ray at its end: direction, distance, the cell, its face (-1: nothing in sight), the face
# by which the ray entered water (-1: it did not; 6: it starts there; plus 8 where it left the water again), where.
DX, DY, DZ, T, CELL_X, CELL_Y, CELL_Z, FACE, WATER_FACE, WATER_T = range(0, 80, LANES)
END = 80
# Rows of a walking ray, in a world mirrored such that it goes up all three axes: cell, axis of the last step, byte of
# the box ahead (int32); direction, inverses, eye; where its octant's boxes begin.
X, Y, Z, AXIS, CODE, SX, SY, SZ, GX, GY, GZ, OX, OY, OZ, BASE = range(0, 120, LANES)
WALK = 120


@njit(cache=True, error_model="numpy")
def _face(axis, dx, dy, dz):  # type: ignore[no-untyped-def]
    """The face by which a ray along an axis enters: -x, +x, -y, +y, -z, +z."""
    on_x, on_y = choose(dx > 0.0, spread(0.0), spread(1.0)), choose(dy > 0.0, spread(2.0), spread(3.0))
    return choose(axis == 0.0, on_x, choose(axis == 1.0, on_y, choose(dz > 0.0, spread(4.0), spread(5.0))))


@njit(cache=True, error_model="numpy")
def cast(shape, room, kind, eye, view, places, count, ends, walks, codes, packs):  # type: ignore[no-untyped-def]
    """Follow rays through empty boxes to the first block that is not air, through water.

    Eight rays are worked on at once, and the eights of a batch take their steps in turn: so the processor has always
    something to do where the steps of one ray would wait for each other.

    Args:
        shape: (NX, NY, NZ) of the grid; room: its `room_field`, flat; kind: FLAT or CUBES.
        eye: where the rays start; view: forward, right and up, one after another.
        places: float64 (2 * n,) how far up and to the right of the picture's middle rays go, its edges at 1: of eight
            rays and eight rays; n is a multiple of eight.
        count: how many rays, a multiple of eight.
        ends: float64 (END_ROWS, n) to fill.
        walks: float64 (WALK_ROWS * BATCH,), memory to work in; codes: the same as int32; packs: int64 (BATCH // 8,).
    """
    nx, ny, nz = shape
    step_x, step_y, volume = (ny + 2) * (nz + 2), nz + 2, (nx + 2) * (ny + 2) * (nz + 2)
    air, wet, of_width, of_height, heights = AIR[kind], WET[kind], (4, 3)[kind], (0, 3)[kind], (7, 31)[kind]
    half = math.tan(math.radians(FOV) / 2)
    fx, fy, fz, rx, ry, rz, ux, uy, uz = view
    ex, ey, ez = int(math.floor(eye[0])), int(math.floor(eye[1])), int(math.floor(eye[2]))
    within = ex >= 0 and ex < nx and ey >= 0 and ey < ny and ez >= 0 and ez < nz
    here = (ex + 1) * step_x + (ey + 1) * step_y + ez + 1
    submerged = within and room[(8 * kind + 7) * volume + here] == wet
    far = DIM_END if submerged else FOG_END
    for start in range(0, count, BATCH):
        live = 0
        for m in range(0, min(BATCH, count - start), LANES):
            at = start + m
            w, n = m * (WALK // LANES), at * (END // LANES)
            up, right = load(places, 2 * at) * half, load(places, 2 * at + LANES) * half
            dx, dy, dz = fx + right * rx + up * ux, fy + right * ry + up * uy, fz + right * rz + up * uz
            norm = 1.0 / root(dx * dx + dy * dy + dz * dz)
            dx, dy, dz = dx * norm, dy * norm, dz * norm
            store(ends, n + DX, dx)
            store(ends, n + DY, dy)
            store(ends, n + DZ, dz)
            px, py, pz = dx > 0.0, dy > 0.0, dz > 0.0
            dx, dy, dz = size_of(dx), size_of(dy), size_of(dz)
            gx, gy, gz = (
                1.0 / most(dx, spread(1e-12)),
                1.0 / most(dy, spread(1e-12)),
                1.0 / most(dz, spread(1e-12)),
            )
            # The eye and its cell, counted from the margin on the side that the ray comes from.
            ox, x = (
                choose(px, spread(eye[0] + 1), spread(nx + 1 - eye[0])),
                choose(px, spread(ex + 1), spread(nx - ex)),
            )
            oy, y = (
                choose(py, spread(eye[1] + 1), spread(ny + 1 - eye[1])),
                choose(py, spread(ey + 1), spread(ny - ey)),
            )
            oz, z = (
                choose(pz, spread(eye[2] + 1), spread(nz + 1 - eye[2])),
                choose(pz, spread(ez + 1), spread(nz - ez)),
            )
            t = spread(0.0)
            if not within:  # comes down into the grid from above, or never
                t = (eye[1] - ny) * gy + 1e-9
                x, y, z = floor(ox + dx * t), floor(oy + dy * t), floor(oz + dz * t)
                out = (
                    py
                    | (x < 1.0)
                    | (x > float(nx))
                    | (y < 1.0)
                    | (y > float(ny))
                    | (z < 1.0)
                    | (z > float(nz))
                )
                t = choose(out, spread(NEVER), t)
                x, y, z = (
                    choose(out, spread(1.0), x),
                    choose(out, spread(1.0), y),
                    choose(out, spread(1.0), z),
                )
            none = spread(0.0)
            base = choose(px, spread(4 * volume), none) + choose(py, spread(2 * volume), none)
            base = base + float(8 * kind * volume) + choose(pz, spread(volume), none)
            code = take(room, whole(base + x * float(step_x) + y * float(step_y) + z))
            store(ends, n + T, t)
            store(ends, n + WATER_FACE, spread(6.0 if submerged else -1.0))
            store(ends, n + WATER_T, spread(0.0))
            store(walks, w + X, x)
            store(walks, w + Y, y)
            store(walks, w + Z, z)
            store(walks, w + AXIS, spread(1.0))
            # out of a block
            store(codes, 2 * (w + CODE), choose(code == BLOCKED, air, code) if within else code)
            goes = (1 << LANES) - 1
            store(walks, w + SX, dx)
            store(walks, w + SY, dy)
            store(walks, w + SZ, dz)
            store(walks, w + GX, gx)
            store(walks, w + GY, gy)
            store(walks, w + GZ, gz)
            store(walks, w + OX, ox)
            store(walks, w + OY, oy)
            store(walks, w + OZ, oz)
            store(walks, w + BASE, base)
            if not within:
                on = (t <= far) & (code >= air)
                goes = bits(on)
                if anywhere(on & (code == wet)):
                    store(ends, n + WATER_FACE, choose(on & (code == wet), spread(3.0), spread(-1.0)))
                    store(ends, n + WATER_T, t)
            packs[live] = m << LANES | goes
            live += int(goes != 0)
        while live > 0:
            still = 0
            for k in range(live):
                m, goes = packs[k] >> LANES, truths(packs[k])
                w, n = m * (WALK // LANES), (start + m) * (END // LANES)
                x, y, z = load(walks, w + X), load(walks, w + Y), load(walks, w + Z)
                ox, oy, oz = load(walks, w + OX), load(walks, w + OY), load(walks, w + OZ)
                was = load(codes, 2 * (w + CODE))
                # Leave the box by the nearest of its three far faces; rounding must not lead out of it by another.
                wide, high = real(was >> of_width), real(was >> of_height & heights)
                bx, by, bz = x + wide, y + high, z + wide
                tx = (bx - ox) * load(walks, w + GX)
                ty = (by - oy) * load(walks, w + GY)
                tz = (bz - oz) * load(walks, w + GZ)
                t = least(ty, tz)
                by_x, by_y = tx < t, ty < tz
                t = least(tx, t)
                in_x = least(most(floor(ox + load(walks, w + SX) * t), x), bx - 1.0)
                in_y = least(most(floor(oy + load(walks, w + SY) * t), y), by - 1.0)
                in_z = least(most(floor(oz + load(walks, w + SZ) * t), z), bz - 1.0)
                x = choose(goes, choose(by_x, bx, in_x), x)
                y = choose(goes, choose(by_x, in_y, choose(by_y, by, in_y)), y)
                z = choose(goes, choose(by_x | by_y, in_z, bz), z)
                axis = choose(by_x, spread(0.0), choose(by_y, spread(1.0), spread(2.0)))
                place = load(walks, w + BASE) + x * float(step_x) + y * float(step_y) + z
                code = take(room, whole(place))
                on = goes & (t <= far) & (code >= air)
                store(walks, w + X, x)
                store(walks, w + Y, y)
                store(walks, w + Z, z)
                store(ends, n + T, choose(goes, t, load(ends, n + T)))
                store(walks, w + AXIS, choose(goes, axis, load(walks, w + AXIS)))
                change = on & ((code == wet) ^ (was == wet))
                if anywhere(change):  # through the water's surface
                    entry = load(ends, n + WATER_FACE)
                    first = change & (code == wet) & (entry < 0.0)
                    face = _face(axis, load(ends, n + DX), load(ends, n + DY), load(ends, n + DZ))
                    store(ends, n + WATER_T, choose(first, t, load(ends, n + WATER_T)))
                    left = change & (was == wet) & (entry < 8.0)
                    store(ends, n + WATER_FACE, choose(first, face, choose(left, entry + 8.0, entry)))
                store(codes, 2 * (w + CODE), code)
                going = bits(on)
                packs[still] = m << LANES | going
                still += int(going != 0)
            live = still
        for m in range(0, min(BATCH, count - start), LANES):
            w, n = m * (WALK // LANES), (start + m) * (END // LANES)
            dx, dy, dz = load(ends, n + DX), load(ends, n + DY), load(ends, n + DZ)
            x, y, z = load(walks, w + X), load(walks, w + Y), load(walks, w + Z)
            store(ends, n + CELL_X, choose(dx > 0.0, x - 1.0, float(nx) - x))
            store(ends, n + CELL_Y, choose(dy > 0.0, y - 1.0, float(ny) - y))
            store(ends, n + CELL_Z, choose(dz > 0.0, z - 1.0, float(nz) - z))
            hit = (load(codes, 2 * (w + CODE)) == BLOCKED) & (load(ends, n + T) <= far)
            store(ends, n + FACE, choose(hit, _face(load(walks, w + AXIS), dx, dy, dz), spread(-1.0)))
