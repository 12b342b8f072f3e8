"""Rays of the block world: eight at once, through empty cubes, they meet what a plain walk from cell to cell meets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numba import njit

from envs.blocks import lanes, walk
from envs.blocks.materials import AIR, BLOCK, WATER
from envs.blocks.room import CUBES, FLAT, room_field, set_block, tops_of

SIZE = 16  # of the picture
SHAPE = (22, 13, 19)


def scene(seed: int) -> np.ndarray:
    """Loose blocks and pools in a random grid."""
    rng = np.random.default_rng(seed)
    grid = np.where(rng.random(SHAPE) < 0.04, np.uint8(BLOCK["stone"]), np.uint8(AIR))
    grid[3:12, 2:5, 4:15][rng.random((9, 3, 11)) < 0.9] = WATER
    grid[15, 8, 6:16] = WATER
    return grid


def camera(yaw: float, pitch: float) -> tuple[float, ...]:
    y, p = math.radians(yaw), math.radians(pitch)
    sy, cy, sp, cp = math.sin(y), math.cos(y), math.sin(p), math.cos(p)
    return (-sy * cp, -sp, cy * cp, -cy, 0.0, -sy, -sy * sp, cp, cy * sp)


def fast(room: np.ndarray, kind: int, eye: tuple[float, ...], view: tuple[float, ...]) -> np.ndarray:
    """What `cast` finds: (rays, what), in the order of its rows."""
    rays = np.arange(SIZE * SIZE)
    places = np.stack([1.0 - (rays // SIZE + 0.5) * 2 / SIZE, (rays % SIZE + 0.5) * 2 / SIZE - 1.0])
    places = places.reshape(2, -1, 8).swapaxes(0, 1).ravel()
    ends = lanes.memory(len(rays) // 8 * walk.END)
    walks, packs = lanes.memory(walk.BATCH // 8 * walk.WALK), np.zeros(walk.BATCH // 8, np.int64)
    shape = tuple(n - 2 for n in room.shape[2:])
    walk.cast(
        shape, room.reshape(-1), kind, eye, view, places, len(rays), ends, walks, walks.view(np.int32), packs
    )
    return ends.reshape(-1, walk.END // 8, 8).swapaxes(1, 2).reshape(len(rays), -1)


def plain(grid: np.ndarray, eye: tuple[float, ...], way: list[float]) -> tuple[Any, ...]:
    """Distance, cell, face, face into water and its distance, one cell after another."""
    cell = [math.floor(v) for v in eye]
    ahead = [1 if d > 0 else -1 for d in way]
    # Distances to planes are counted from the side that the ray comes from, beyond a margin of one cell.
    start = [e + 1 if s > 0 else n + 1 - e for e, s, n in zip(eye, ahead, grid.shape, strict=True)]
    slow = [1.0 / max(abs(d), 1e-12) for d in way]
    inside = all(0 <= c < n for c, n in zip(cell, grid.shape, strict=True))
    t, axis, first = 0.0, 1, inside
    if not inside:
        t = (eye[1] - grid.shape[1]) * slow[1] + 1e-9
        cell = [
            math.floor(s + abs(d) * t) - 1 if a > 0 else n - math.floor(s + abs(d) * t)
            for s, d, a, n in zip(start, way, ahead, grid.shape, strict=True)
        ]
        if ahead[1] > 0:
            return None, None, -1, -1, 0.0
    far, face_in, t_in, wet = walk.FOG_END, -1, 0.0, False
    while t <= far and all(0 <= c < n for c, n in zip(cell, grid.shape, strict=True)):
        block, face = grid[tuple(cell)], 2 * axis + (ahead[axis] < 0)
        if block == WATER and first:
            far, face_in = walk.DIM_END, 6
        elif block == WATER and face_in < 0:
            face_in, t_in = face, t
        elif wet and block == AIR:
            face_in |= 8
        elif block not in (AIR, WATER) and not first:
            return t, tuple(cell), face, face_in, t_in
        wet, first = block == WATER, False
        nearest = [
            ((c + 2 if a > 0 else n - c + 1) - s) * g
            for c, a, n, s, g in zip(cell, ahead, grid.shape, start, slow, strict=True)
        ]
        axis = 0 if nearest[0] < min(nearest[1:]) else (1 if nearest[1] < nearest[2] else 2)
        t = nearest[axis]
        cell[axis] += ahead[axis]
    return None, None, -1, face_in, t_in


@pytest.mark.parametrize("seed", range(3))
def test_rays_meet_what_a_plain_walk_meets(seed: int) -> None:
    grid = scene(seed)
    room, tops = room_field(grid), tops_of(grid)
    rng = np.random.default_rng([seed, 1])
    for _ in range(40):  # a world that was dug and built in
        x, y, z = (int(v) for v in rng.integers(0, SHAPE))
        set_block(grid, room, tops, x, y, z, int(rng.choice([AIR, WATER, BLOCK["stone"]])))
    pool, stone = np.argwhere(grid == WATER), np.argwhere(grid == BLOCK["stone"])
    eyes = [
        *rng.uniform(0.01, SHAPE, (4, 3)),
        *(pool[[0, 50]] + rng.random((2, 3))),
        stone[9] + rng.random(3),
    ]
    eyes += [(rng.uniform(3, 18), 13.0 + rng.uniform(0.1, 3), rng.uniform(3, 16)) for _ in range(2)]
    met = 0
    for i, point in enumerate(eyes):
        eye = tuple(float(v) for v in point)
        pitch = 90.0 if i == 0 else (rng.uniform(30, 90) if eye[1] > SHAPE[1] else rng.uniform(-60, 90))
        found = fast(room, (FLAT, CUBES)[i % 2], eye, camera(rng.uniform(-180, 180), pitch))
        for ray in found.tolist():
            t, cell, face, face_in, t_in = plain(grid, eye, ray[:3])
            assert (ray[7], ray[8]) == (face, face_in)
            assert face < 0 or (ray[3], tuple(ray[4:7])) == (t, cell)
            assert face_in < 0 or ray[9] == t_in
            met += face >= 0
    assert met > 500


def test_eight_numbers_are_worked_on_as_one_is() -> None:
    @njit(error_model="numpy")
    def eight(numbers, table, out):  # type: ignore[no-untyped-def]
        a, b = lanes.load(numbers, 0), lanes.load(numbers, 8)
        lanes.store(out, 0, (a * b + 1.0 - b) / (lanes.size_of(a) + 2))
        lanes.store(out, 8, lanes.floor(a) + lanes.root(lanes.size_of(b)))
        lanes.store(
            out, 16, lanes.choose((a < b) & (a > 0.0) | (b <= -1.0), lanes.least(a, b), lanes.most(a, b))
        )
        lanes.store(out, 24, lanes.take(numbers, lanes.whole(lanes.size_of(a))))
        lanes.store(out, 32, lanes.real(lanes.take(table, lanes.whole(lanes.size_of(a) + 3.0))))
        return lanes.anywhere(a > 2.5), lanes.anywhere(a > 99.0)

    a, b = np.random.default_rng(0).uniform(-3, 3, (2, 8))
    table, out, numbers = np.arange(200, 220, dtype=np.uint8), np.zeros(40), np.concatenate([a, b])
    some, none = eight(numbers, table, out)
    size = np.abs(a)
    wanted = (
        (a * b + 1.0 - b) / (size + 2),
        np.floor(a) + np.sqrt(np.abs(b)),
        np.where((a < b) & (a > 0) | (b <= -1), np.minimum(a, b), np.maximum(a, b)),
        numbers[size.astype(int)],
        table[(size + 3).astype(int)],
    )
    assert np.array_equal(out.reshape(5, 8), wanted)
    assert (some, none) == (bool((a > 2.5).any()), False)
