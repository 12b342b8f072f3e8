"""Pictures of a grid of blocks: one ray a pixel walks from cell to cell, four where surfaces meet."""

from __future__ import annotations

import math
import threading

import numpy as np
from numpy.typing import NDArray

from envs.blocks.lanes import LANES, memory
from envs.blocks.materials import TINTED
from envs.blocks.paint import BATCH as PAINTED
from envs.blocks.paint import CLOUDS, COLOUR, NOTES, paint, palette
from envs.blocks.room import CUBES, FLAT
from envs.blocks.smooth import EXTRA, STRIP, four_rays, more_places, one_ray
from envs.blocks.textures import atlas
from envs.blocks.walk import BATCH, END, FOV, WALK, cast

CHUNK = 4608  # rays that are followed and painted by one call: eights, for one ray a pixel and for three

TEXELS, LOOKS = palette(*atlas(), TINTED)

Axis = tuple[float, float, float]


class _Work:
    """Working memory for pictures of one size, kept from call to call: fresh memory costs more than the rays do."""

    def __init__(self, size: int) -> None:
        total = size * size
        packs = -(-total // LANES)
        rays = np.minimum(np.arange(packs * LANES), total - 1)
        self.places, self.more_places = memory(packs * 2 * LANES), memory(CHUNK * 2)
        self.places.reshape(packs, 2, LANES)[:, 0] = (1.0 - (rays // size + 0.5) * 2.0 / size).reshape(
            packs, LANES
        )
        self.places.reshape(packs, 2, LANES)[:, 1] = ((rays % size + 0.5) * 2.0 / size - 1.0).reshape(
            packs, LANES
        )
        self.ends, notes = memory(CHUNK // LANES * END), memory(PAINTED // LANES * NOTES)
        self.notes = notes, notes.view(np.int32), notes.view(np.float32)
        walks = memory(BATCH // LANES * WALK)
        self.walks = walks, walks.view(np.int32), np.zeros(BATCH // LANES, np.int64)
        self.colours, self.more_colours = memory(packs * COLOUR), memory(CHUNK // LANES * COLOUR)
        self.more_bytes = self.more_colours.view(np.int32)
        self.keys, self.more_keys = np.zeros(packs * LANES, np.int32), np.zeros(CHUNK, np.int32)
        self.pixels, self.mixed = np.zeros(total + LANES, np.int32), np.zeros(STRIP * size, np.uint8)


class _Works(threading.local):
    def __init__(self) -> None:
        self.by_size: dict[int, _Work] = {}


_works = _Works()


def _axes(yaw: float, pitch: float) -> tuple[Axis, Axis, Axis]:
    """The camera's directions forward, right and up, of angles in radians."""
    sy, cy, sp, cp = math.sin(yaw), math.cos(yaw), math.sin(pitch), math.cos(pitch)
    return (-sy * cp, -sp, cy * cp), (-cy, 0.0, -sy), (-sy * sp, cp, cy * sp)


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
    if size not in _works.by_size:
        _works.by_size[size] = _Work(size)
    work = _works.by_size[size]
    eye = float(pose[0]), float(pose[1]), float(pose[2])
    forward, right, up = _axes(math.radians(pose[3]), math.radians(pose[4]))
    view = (*forward, *right, *up)
    along = max(map(abs, forward)) > 1.0 - 1e-9 or any(part.is_integer() for part in eye)
    kind = CUBES if along else FLAT
    # Flat here and not in the kernels, which take longer to compile for each view that they make.
    cells, spaces, columns, hues = grid.reshape(-1), room.reshape(-1), tops.reshape(-1), tint.reshape(-1)
    angle = 2.0 * math.tan(math.radians(FOV) / 2) / size

    def follow(
        count: int, places: NDArray[np.float64], colours: NDArray[np.float64], keys: NDArray[np.int32]
    ) -> None:
        """Colours of ``count`` rays, and keys of the surfaces that they meet."""
        cast(grid.shape, spaces, kind, eye, view, places, count, work.ends, *work.walks)
        paint(
            grid.shape, cells, columns, hues, TEXELS, LOOKS, CLOUDS,
            eye, angle, count, work.ends, *work.notes, colours, keys,
        )  # fmt: skip

    rays = len(work.keys)
    for start in range(0, rays, CHUNK):
        pack = start // LANES
        follow(
            min(CHUNK, rays - start),
            work.places[pack * 2 * LANES :],
            work.colours[pack * COLOUR :],
            work.keys[start:],
        )
    out = np.empty(rays * 3, np.uint8)
    many = one_ray(work.colours, work.keys, size, smooth, out, work.pixels, work.mixed)
    for start in range(0, many, CHUNK // EXTRA):
        count = min(CHUNK // EXTRA, many - start)
        packs = -(-count // LANES)
        more_places(work.pixels, start, packs, size, work.more_places)
        follow(packs * EXTRA * LANES, work.more_places, work.more_colours, work.more_keys)
        four_rays(work.colours, work.more_colours, work.more_bytes, work.pixels, start, packs, out)
    return out[: size * size * 3].reshape(size, size, 3)
