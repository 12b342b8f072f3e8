"""The compiled half of the renderer: rays through a grid of cells, texel arithmetic, and three ways to draw.

``level`` walks the grid once per column of samples, which is exact while the camera looks level; ``tilted``
walks it once per sample, at any pitch, and is the plain version that ``level`` must equal; ``identify`` names
what is seen. A pixel has four samples on a rotated grid (four heights, four sides), so that an edge moves
through a picture in quarters of a pixel. Where all four and the centre meet one surface, the centre is drawn
for all: the textures are prefiltered. Texel arithmetic is in integers and nothing is fast-math.

All kernels stay in one file: numba's cache on disk sees a change only in the file of the cached function.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math

import numpy as np
from numba import njit

from envs.labmaze import textures
from envs.labmaze.maze import NO_DECAL, SIZE

_SAMPLES = 4
_CENTRE = 4
# Where in a pixel its samples lie, from its left and from its top; the last is its centre.
_ACROSS = (0.125, 0.375, 0.625, 0.875, 0.5)
_DOWN = (0.625, 0.125, 0.875, 0.375, 0.5)
_IS_SKY, _IS_FLOOR = -1, -2  # what a ray meets, where it is not the number of a wall face
_TEXELS = textures.SIDE
_SHEET = 2 * _TEXELS
_TOP_LEVEL = textures.LEVELS - 2
_FRACTION = 5  # bits of a bilinear weight
_STEPS = 1 << _FRACTION
_CELL_BITS = _FRACTION + _TEXELS.bit_length() - 1  # bits of a place in a cell, at level 0
_SHIFT = 2 * _FRACTION + 2  # the weights of four samples sum to 2**12
_HALF = 1 << (_SHIFT - 1)
_SKY_TEXELS = textures.SKY_SIDE
_FAR = 1e30
_TILE_BITS = 1  # tiles, the parts of a picture that are looked at as a whole, are 2 x 2 pixels
_TILE = 1 << _TILE_BITS
# Level whose texels are nearest in size to a pixel's footprint, by footprint in eighths of a texel.
_LEVEL_OF = np.array(
    [min(_TOP_LEVEL, max(0, round(math.log2(max(k, 1) / 8)))) for k in range(1024)], dtype=np.int64
)
# The least footprint of each level, for walking down the levels.
_LEAST = np.array([np.searchsorted(_LEVEL_OF, k) for k in range(_TOP_LEVEL + 1)], dtype=np.float64)

_jit = njit(cache=True, error_model="numpy")
_inline = njit(cache=True, error_model="numpy", inline="always")


@_inline
def _march(wall, x, z, hx, hz):
    """Walk a level ray to the first wall: its distance in ray lengths, the open cell before, and the side."""
    cx, cz = int(x), int(z)
    step_x, step_z = (1 if hx > 0.0 else -1), (1 if hz > 0.0 else -1)
    every_x = 1.0 / abs(hx) if hx != 0.0 else _FAR
    every_z = 1.0 / abs(hz) if hz != 0.0 else _FAR
    next_x = (cx + 1 - x if hx > 0.0 else x - cx) * every_x
    next_z = (cz + 1 - z if hz > 0.0 else z - cz) * every_z
    while True:
        if next_x < next_z:
            if wall[cz, cx + step_x]:
                return next_x, cz, cx, (0 if hx > 0.0 else 1)
            cx += step_x
            next_x += every_x
        else:
            if wall[cz + step_z, cx]:
                return next_z, cz, cx, (2 if hz > 0.0 else 3)
            cz += step_z
            next_z += every_z


@_jit
def _along(x, z, hx, hz, t, side):
    """Where along a face a ray meets it, from its left to its right as seen: 0..1."""
    if side < 2:
        along = z + t * hz
        along -= math.floor(along)
        return along if side == 0 else 1.0 - along
    along = x + t * hx
    along -= math.floor(along)
    return 1.0 - along if side == 2 else along


@_jit
def _level_for(eighths):
    """The level for a footprint in eighths of a texel."""
    return _LEVEL_OF[np.uintp(min(eighths, 1023.0))]


@_jit
def _wrapped(place, level):
    """Two neighbouring texels on the sheet and the weight of the second, for a place 0..1 that repeats."""
    return _repeated(int(place * ((_TEXELS >> level) << _FRACTION)), level)


@_jit
def _repeated(fixed, level):
    """As ``_wrapped``, for a place in bilinear steps."""
    last = (_TEXELS >> level) - 1
    fixed -= _STEPS >> 1
    start, first = _SHEET - (_SHEET >> level), fixed >> _FRACTION
    return start + (first & last), start + ((first + 1) & last), fixed & (_STEPS - 1)


@_jit
def _clamped(place, level):
    """As ``_wrapped`` for a place that ends at 0 and 1."""
    count = _TEXELS >> level
    fixed = int(place * (count << _FRACTION)) - (_STEPS >> 1)
    fixed = min(max(fixed, 0), (count - 1) << _FRACTION)
    start, first = _SHEET - (_SHEET >> level), fixed >> _FRACTION
    return start + first, start + min(first + 1, count - 1), fixed & (_STEPS - 1)


@_inline
def _blend(texels, row0, row1, row_weight, col0, col1, col_weight):
    """Bilinear sample of packed texels, 2**10 times too bright; rows are places in the flat array."""
    both = row_weight * col_weight
    return (
        texels[np.uintp(row0 + col0)] * (_STEPS * _STEPS - _STEPS * (row_weight + col_weight) + both)
        + texels[np.uintp(row0 + col1)] * (_STEPS * col_weight - both)
        + texels[np.uintp(row1 + col0)] * (_STEPS * row_weight - both)
        + texels[np.uintp(row1 + col1)] * both
    )


@_jit
def _sky(sky, hx, dy, hz):
    """Sample the sky box: its four sides stand on the horizon and end 45 degrees up, where its lid begins."""
    ax, az = abs(hx), abs(hz)
    widest = max(ax, az)
    if dy > widest:
        face, across, down = 4, 0.5 - 0.5 * hx / dy, 0.5 - 0.5 * hz / dy
    else:
        face, across = _sky_side(hx, hz)
        down = 1.0 - dy / widest
    col0, col1, col_weight = _sky_place(across)
    row0, row1, row_weight = _sky_place(down)
    row0 += face * _SKY_TEXELS
    row1 += face * _SKY_TEXELS
    return _blend(sky, row0 * _SKY_TEXELS, row1 * _SKY_TEXELS, row_weight, col0, col1, col_weight)


@_jit
def _sky_side(hx, hz):
    """The side of the sky box a ray points at, and where along it from the left: 0..1."""
    if abs(hz) >= abs(hx):
        return (0, 0.5 - 0.5 * hx / hz) if hz > 0.0 else (2, 0.5 - 0.5 * hx / hz)
    return (3, 0.5 + 0.5 * hz / hx) if hx > 0.0 else (1, 0.5 + 0.5 * hz / hx)


@_jit
def _sky_place(place):
    fixed = int(place * (_SKY_TEXELS << _FRACTION)) - (_STEPS >> 1)
    fixed = min(max(fixed, 0), (_SKY_TEXELS - 1) << _FRACTION)
    first = fixed >> _FRACTION
    return first, min(first + 1, _SKY_TEXELS - 1), fixed & (_STEPS - 1)


@_jit
def _all_same(numbers):
    for k in range(1, len(numbers)):  # noqa: SIM110 (the generator would allocate)
        if numbers[k] != numbers[0]:
            return False
    return True


@_jit
def level(wall, sheets, floor_sheet, face_sheet, sky, x, y, z, sin, cos, extent, out):
    """Draw with pitch 0: forward is (-sin, 0, cos), right is (-cos, 0, -sin).

    The long loops leave early on an impossible sum: that keeps the compiler from turning them into vector
    gathers, which are several times slower than plain loads on many processors.
    """
    size = out.shape[0]
    pixel = 2.0 * extent / size
    detail = pixel * _TEXELS * 8.0  # eighths of a texel across a pixel at distance 1
    total = np.empty(size, np.int64)
    reach = np.zeros((_SAMPLES + 1, size))  # distance of the floor along a sample's row
    for k in range(_SAMPLES + 1):
        for i in range(size):
            fall = (i + _DOWN[k]) * pixel - extent
            if fall > 0.0:
                reach[k, i] = y / fall
    ray_x, ray_z, distance = np.empty(_SAMPLES + 1), np.empty(_SAMPLES + 1), np.empty(_SAMPLES + 1)
    face, top = np.empty(_SAMPLES + 1, np.int64), np.empty(_SAMPLES + 1, np.int64)
    bottom = np.empty(_SAMPLES + 1, np.int64)
    for j in range(size):
        same = True
        sky_stop, floor_start, wall_start, wall_stop = size, 0, 0, size
        for k in range(_SAMPLES + 1):
            u = (j + _ACROSS[k]) * pixel - extent
            hx, hz = -sin - u * cos, cos - u * sin
            t, cz, cx, side = _march(wall, x, z, hx, hz)
            ray_x[k], ray_z[k], distance[k], face[k] = hx, hz, t, (cz * SIZE + cx) * 4 + side
            first_v = extent - _DOWN[k] * pixel  # the sample in row i is at v = first_v - i * pixel
            above, to_bottom = (first_v - (1.0 - y) / t) / pixel, (first_v + y / t) / pixel
            first = math.ceil(min(max(above, 0.0), float(size)))
            last = math.ceil(min(max(to_bottom, 0.0), float(size)))
            top[k], bottom[k] = first, last
            sky_stop, wall_start = min(sky_stop, first), max(wall_start, first)
            wall_stop, floor_start = min(wall_stop, last), max(floor_start, last)
            same = same and face[k] == face[0]
        wall_stop = max(wall_start, wall_stop)
        if not same:
            wall_start = wall_stop = floor_start

        # Rows where all samples of a pixel agree are drawn once, by the pixel's centre.
        hx, hz, t = ray_x[_CENTRE], ray_z[_CENTRE], distance[_CENTRE]
        first_v = extent - _DOWN[_CENTRE] * pixel
        widest = max(abs(hx), abs(hz))
        box_side, across = _sky_side(hx, hz)
        col0, col1, col_weight = _sky_place(across)
        col0 += box_side * _SKY_TEXELS * _SKY_TEXELS
        col1 += box_side * _SKY_TEXELS * _SKY_TEXELS
        per_v = 1.0 / widest
        for i in range(sky_stop):
            v = first_v - i * pixel
            if v > widest:
                total[i] = _SAMPLES * _sky(sky, hx, v, hz)
                continue
            row0, row1, row_weight = _sky_place(1.0 - v * per_v)
            row0, row1 = row0 * _SKY_TEXELS, row1 * _SKY_TEXELS
            total[i] = _SAMPLES * _blend(sky, row0, row1, row_weight, col0, col1, col_weight)
            if total[i] < 0:
                break

        if wall_start < wall_stop:
            col0, col1, col_weight = _face_columns(
                face_sheet, face[_CENTRE], x, z, hx, hz, t, sin, cos, detail
            )
            level = _level_for(t * detail)
            for i in range(wall_start, wall_stop):
                row0, row1, row_weight = _clamped(1.0 - y - t * (first_v - i * pixel), level)
                row0, row1 = row0 * _SHEET, row1 * _SHEET
                total[i] = _SAMPLES * _blend(sheets, row0, row1, row_weight, col0, col1, col_weight)
                if total[i] < 0:
                    break

        width_x, width_z = abs(cos) * detail, abs(sin) * detail
        depth_x, depth_z = abs(hx) / y * detail, abs(hz) / y * detail
        level_x = level_z = _TOP_LEVEL  # they fall with the distance, from row to row
        steps_x = steps_z = float(_STEPS * _TEXELS >> _TOP_LEVEL)  # bilinear steps along a cell
        for i in range(floor_start, size):
            t = reach[_CENTRE, i]
            wide, deep = t * max(width_x, t * depth_x), t * max(width_z, t * depth_z)
            while level_x > 0 and wide < _LEAST[level_x]:
                level_x -= 1
                steps_x *= 2.0
            while level_z > 0 and deep < _LEAST[level_z]:
                level_z -= 1
                steps_z *= 2.0
            # As _wrapped, for the cell and the place in it at once: scaling by a power of two is exact.
            fixed_x, fixed_z = int((x + t * hx) * steps_x), int((z + t * hz) * steps_z)
            cell = (fixed_z >> (_CELL_BITS - level_z)) * SIZE + (fixed_x >> (_CELL_BITS - level_x))
            base = floor_sheet[np.uintp(cell)] * _SHEET
            col0, col1, col_weight = _repeated(fixed_x, level_x)
            row0, row1, row_weight = _repeated(fixed_z, level_z)
            row0, row1 = (base + row0) * _SHEET, (base + row1) * _SHEET
            total[i] = _SAMPLES * _blend(sheets, row0, row1, row_weight, col0, col1, col_weight)
            if total[i] < 0:
                break

        # The other rows are drawn sample by sample.
        if sky_stop < wall_start or wall_stop < floor_start:
            total[sky_stop:wall_start] = 0
            total[wall_stop:floor_start] = 0
            for k in range(_SAMPLES):
                hx, hz, t_wall = ray_x[k], ray_z[k], distance[k]
                first_v = extent - _DOWN[k] * pixel
                wall0, wall1, wall_weight = _face_columns(
                    face_sheet, face[k], x, z, hx, hz, t_wall, sin, cos, detail
                )
                level = _level_for(t_wall * detail)
                depth_x, depth_z = abs(hx) / y * detail, abs(hz) / y * detail
                i = sky_stop - 1
                while True:
                    i += 1
                    if i == wall_start:
                        i = wall_stop
                    if i >= floor_start:
                        break
                    if i < top[k]:
                        total[i] += _sky(sky, hx, first_v - i * pixel, hz)
                        continue
                    if i < bottom[k]:
                        row0, row1, row_weight = _clamped(1.0 - y - t_wall * (first_v - i * pixel), level)
                        col0, col1, col_weight, base = wall0, wall1, wall_weight, 0
                    else:
                        t = reach[k, i]
                        fx, fz = x + t * hx, z + t * hz
                        cx, cz = int(fx), int(fz)
                        row0, row1, row_weight = _wrapped(fz - cz, _level_for(t * max(width_z, t * depth_z)))
                        col0, col1, col_weight = _wrapped(fx - cx, _level_for(t * max(width_x, t * depth_x)))
                        base = floor_sheet[cz * SIZE + cx] * _SHEET
                    row0, row1 = (base + row0) * _SHEET, (base + row1) * _SHEET
                    total[i] += _blend(sheets, row0, row1, row_weight, col0, col1, col_weight)
        for i in range(size):
            _unpack(total[i], out, i, j)


@_inline
def _face_columns(face_sheet, face, x, z, hx, hz, t, sin, cos, detail):
    """The two columns of texels (in the flat array) a level ray meets on a face, and the second's weight."""
    side = face & 3
    slant = abs(hz * cos / hx - sin) if side < 2 else abs(hx * sin / hz - cos)
    base = face_sheet[face] * _SHEET * _SHEET
    col0, col1, col_weight = _wrapped(_along(x, z, hx, hz, t, side), _level_for(t * slant * detail))
    return base + col0, base + col1, col_weight


@_inline
def _unpack(total, out, i, j):
    """Round the sum of four samples to a pixel: no colour carries into the next."""
    total += _HALF | _HALF << 21 | _HALF << 42
    out[i, j, 0] = total >> _SHIFT & 255
    out[i, j, 1] = total >> (21 + _SHIFT) & 255
    out[i, j, 2] = total >> (42 + _SHIFT) & 255


@_jit
def _ray(u, v, sin, cos, pitch_sin, pitch_cos):
    """Direction of the ray through (u, v) on the picture at distance 1: forward + u * right + v * up."""
    ahead = pitch_cos + v * pitch_sin
    return -sin * ahead - u * cos, v * pitch_cos - pitch_sin, cos * ahead - u * sin


@_jit
def _corners(size):
    return -(-size // _TILE) + 1


@_inline
def _meet(wall, x, y, z, hx, dy, hz):
    """What a ray meets (_IS_SKY, _IS_FLOOR or a face's number) and its distance in ray lengths."""
    t, cz, cx, side = _march(wall, x, z, hx, hz)
    height = y + t * dy
    if height > 1.0:
        return _IS_SKY, t
    if height < 0.0:
        return _IS_FLOOR, -y / dy
    return (cz * SIZE + cx) * 4 + side, t


@_jit
def tilted(wall, sheets, floor_sheet, face_sheet, sky, x, y, z, sin, cos, extent, pitch_sin, pitch_cos, out):
    """Draw at any pitch, one walk per sample.

    Where the rays through a tile's four corners end above, on or below one face, so do all between them: what a face
    hides, and what is above and below it, are convex in the picture, and no wall is narrow enough to stand between.
    """
    size = out.shape[0]
    pixel = 2.0 * extent / size
    met, distance = np.empty(_SAMPLES + 1, np.int64), np.empty(_SAMPLES + 1)
    corners = np.empty((_corners(size), _corners(size)), np.int64)
    for a in range(corners.shape[0]):
        for b in range(corners.shape[1]):
            u, v = min(b * _TILE, size) * pixel - extent, extent - min(a * _TILE, size) * pixel
            hx, dy, hz = _ray(u, v, sin, cos, pitch_sin, pitch_cos)
            t, cz, cx, side = _march(wall, x, z, hx, hz)
            height = y + t * dy
            corners[a, b] = ((cz * SIZE + cx) * 4 + side) * 4 - (_IS_SKY if height > 1.0 else 0)
            corners[a, b] -= _IS_FLOOR if height < 0.0 else 0
    for i in range(size):
        for j in range(size):
            row, col = i >> _TILE_BITS, j >> _TILE_BITS
            above, below = corners[np.uintp(row)], corners[np.uintp(row + 1)]
            kind = above[np.uintp(col)]
            whole = (
                kind == above[np.uintp(col + 1)] and kind == below[np.uintp(col)] == below[np.uintp(col + 1)]
            )
            for k in range(_CENTRE if whole else 0, _SAMPLES + 1):
                u, v = (j + _ACROSS[k]) * pixel - extent, extent - (i + _DOWN[k]) * pixel
                hx, dy, hz = _ray(u, v, sin, cos, pitch_sin, pitch_cos)
                if whole and kind & 3:
                    met[k], distance[k] = -(kind & 3), -y / dy  # the distance of the sky is not asked for
                    continue
                met[k], distance[k] = _meet(wall, x, y, z, hx, dy, hz)
            agree = whole or _all_same(met)
            total = 0
            for k in range(_SAMPLES + 1):
                if agree != (k == _CENTRE):
                    continue
                u, v = (j + _ACROSS[k]) * pixel - extent, extent - (i + _DOWN[k]) * pixel
                total += (_SAMPLES if agree else 1) * _shade(
                    sheets, floor_sheet, face_sheet, sky, x, y, z, sin, cos, pitch_sin, pitch_cos, pixel,
                    u, v, met[k], distance[k],
                )  # fmt: skip
            _unpack(total, out, i, j)


@_inline
def _shade(sheets, floor_sheet, face_sheet, sky, x, y, z, sin, cos, pitch_sin, pitch_cos, pixel,
           u, v, met, t):  # fmt: skip
    """Packed colour, 2**10 times too bright, of what the ray through (u, v) met at distance t."""
    hx, dy, hz = _ray(u, v, sin, cos, pitch_sin, pitch_cos)
    if met == _IS_SKY:
        return _sky(sky, hx, dy, hz)
    up_x, up_y, up_z = -sin * pitch_sin, pitch_cos, cos * pitch_sin  # and right is (-cos, 0, -sin)
    near = t * pixel * _TEXELS * 8.0  # eighths of a texel across a pixel, seen head-on
    if met == _IS_FLOOR:
        fx, fz = x + t * hx, z + t * hz
        cx, cz = int(fx), int(fz)
        level_x = _level_for(near * max(abs(cos), abs(up_x - hx * up_y / dy)))
        level_z = _level_for(near * max(abs(sin), abs(up_z - hz * up_y / dy)))
        row0, row1, row_weight = _wrapped(fz - cz, level_z)
        col0, col1, col_weight = _wrapped(fx - cx, level_x)
        base = floor_sheet[cz * SIZE + cx] * _SHEET
    else:
        side = met & 3
        if side < 2:
            slant = max(abs(hz * cos / hx - sin), abs(up_z - hz * up_x / hx))
            rise = abs(up_y - dy * up_x / hx)
        else:
            slant = max(abs(hx * sin / hz - cos), abs(up_x - hx * up_z / hz))
            rise = abs(up_y - dy * up_z / hz)
        row0, row1, row_weight = _clamped(1.0 - y - t * dy, _level_for(near * rise))
        col0, col1, col_weight = _wrapped(_along(x, z, hx, hz, t, side), _level_for(near * slant))
        base = face_sheet[met] * _SHEET
    row0, row1 = (base + row0) * _SHEET, (base + row1) * _SHEET
    return _blend(sheets, row0, row1, row_weight, col0, col1, col_weight)


@_jit
def identify(wall, sheet_id, sheet_decal, decal_id, masks, floor_sheet, face_sheet,
              x, y, z, sin, cos, extent, pitch_sin, pitch_cos, out):  # fmt: skip
    """Name what the ray through each pixel's centre meets."""
    size = out.shape[0]
    pixel = 2.0 * extent / size
    for i in range(size):
        for j in range(size):
            u, v = (j + 0.5) * pixel - extent, extent - (i + 0.5) * pixel
            hx, dy, hz = _ray(u, v, sin, cos, pitch_sin, pitch_cos)
            met, t = _meet(wall, x, y, z, hx, dy, hz)
            if met == _IS_SKY:
                out[i, j] = 0
                continue
            if met == _IS_FLOOR:
                out[i, j] = sheet_id[floor_sheet[int(z + t * hz) * SIZE + int(x + t * hx)]]
                continue
            sheet = face_sheet[met]
            out[i, j] = sheet_id[sheet]
            hung = sheet_decal[sheet]
            if hung != NO_DECAL:
                row = min(int((1.0 - y - t * dy) * _TEXELS), _TEXELS - 1)
                col = min(int(_along(x, z, hx, hz, t, met & 3) * _TEXELS), _TEXELS - 1)
                if masks[hung, row, col]:
                    out[i, j] = decal_id[hung]
