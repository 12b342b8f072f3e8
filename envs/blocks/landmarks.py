"""What stands where: landmarks, the paths between them, trees, and the place where a player starts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from envs.blocks.buildings import Site, arch, house, mushroom, pillar, pyramid, signboard, tower, wall
from envs.blocks.materials import AIR, BLOCK, TREE_BLOCKS, WATER, WOOLS
from envs.blocks.terrain import SEA, SIZE, World

NX, NY, NZ = SIZE
GRID = 6  # landmarks stand about the middles of GRID x GRID squares


Maker = Callable[[Site, np.random.Generator, int, int], None]


def build(world: World, rng: np.random.Generator) -> None:
    """Put landmarks, paths, trees and the start into a world, in place."""
    sites, spawn = _sites(world, rng)
    shares: tuple[tuple[Maker, int], ...] = (
        (house, 9), (tower, 7), (wall, 6), (signboard, 6), (pillar, 4), (arch, 2), (pyramid, 2), (mushroom, 2),
    )  # fmt: skip
    makers = [function for function, share in shares for _ in range(share)]
    order = rng.permutation(len(makers))
    first, second = rng.permutation(len(WOOLS)), rng.permutation(len(WOOLS))
    for i, site in enumerate(sites):
        main = WOOLS[first[i % len(WOOLS)]]
        other = WOOLS[second[(i + i // len(WOOLS)) % len(WOOLS)]]
        if other == main:
            other = WOOLS[(WOOLS.index(main) + 3) % len(WOOLS)]
        makers[order[i % len(makers)]](site, rng, main, other)
    for a, b in pairwise(sites):
        if abs(a.x - b.x) + abs(a.z - b.z) < 24:
            _path(world, a, b)
    _trees(world, rng)
    _start(world, spawn, rng)


def _sites(world: World, rng: np.random.Generator) -> tuple[list[Site], tuple[int, int]]:
    """Landmark sites in boustrophedon order, and the square that is left free for the start."""
    step = NX / GRID
    squares = [(i, j if i % 2 == 0 else GRID - 1 - j) for i in range(GRID) for j in range(GRID)]
    middle = [(i, j) for i, j in squares if 1 <= i <= GRID - 2 and 1 <= j <= GRID - 2]
    dry = [(int(world.ground[int((i + 0.5) * step), int((j + 0.5) * step)]), i, j) for i, j in middle]
    choices = [(i, j) for h, i, j in dry if SEA < h <= SEA + 6] or [(i, j) for _, i, j in [max(dry)]]
    free = choices[int(rng.integers(len(choices)))]
    sites = []
    for i, j in squares:
        x, z = (int((k + 0.5) * step + rng.integers(-2, 3)) for k in (i, j))
        turn = int(rng.integers(4))
        if (i, j) != free:
            sites.append(Site(world, x, z, turn))
    return sites, (int((free[0] + 0.5) * step), int((free[1] + 0.5) * step))


def _path(world: World, a: Site, b: Site) -> None:
    """Gravel along a bent line, on natural ground only."""
    points = [(x, a.z) for x in range(min(a.x, b.x), max(a.x, b.x) + 1)]
    points += [(b.x, z) for z in range(min(a.z, b.z), max(a.z, b.z) + 1)]
    for x, z in points:
        y = int(world.ground[x, z])
        if (
            y > SEA
            and world.grid[x, y - 1, z] in (BLOCK["grass"], BLOCK["sand"])
            and world.grid[x, y, z] == AIR
        ):
            world.grid[x, y - 1, z] = BLOCK["gravel"]


def _trees(world: World, rng: np.random.Generator) -> None:
    kinds = (
        ("log", "leaves"),
        ("birch_log", "birch_leaves"),
        ("log", "autumn_leaves"),
        ("log", "dark_leaves"),
    )
    regions = rng.integers(0, len(kinds), (4, 4))  # a wood has one kind of tree
    for _ in range(110):
        x, z = int(rng.integers(2, NX - 2)), int(rng.integers(2, NZ - 2))
        kind = int(regions[x // 16, z // 16]) if rng.random() < 0.8 else int(rng.integers(len(kinds)))
        tall = int(rng.integers(4, 7))
        y = int(world.ground[x, z])
        if y + tall + 3 >= NY or world.grid[x, y - 1, z] != BLOCK["grass"]:
            continue
        if world.grid[x - 2 : x + 3, y + 1 : y + tall + 3, z - 2 : z + 3].any():
            continue
        log, leaf = BLOCK[kinds[kind][0]], BLOCK[kinds[kind][1]]
        s = Site(world, x, z, 0)
        s.y = y
        if kind == 3:  # a fir
            for w, r in enumerate((2, 1, 2, 1, 1, 0, 0)):
                for u in range(-r, r + 1):
                    for v in range(-r, r + 1):
                        if abs(u) + abs(v) <= r + (r > 1):
                            s.put(u, w + tall - 3, v, leaf)
        else:
            for w, r in ((tall - 2, 2), (tall - 1, 2), (tall, 1), (tall + 1, 1)):
                for u in range(-r, r + 1):
                    for v in range(-r, r + 1):
                        if abs(u) + abs(v) < 2 * r or (r == 1 and w == tall):
                            s.put(u, w, v, leaf)
        s.fill(range(1), range(tall), range(1), log)


def _start(world: World, near: tuple[int, int], rng: np.random.Generator) -> None:
    """Stand on dry ground about the free square, where most can be seen, and look along an open direction."""
    ways = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))  # yaw 0, 45, 90, ...
    grid, ground = world.grid, world.ground
    full = np.pad(grid != AIR, ((1, 1), (0, 0), (1, 1)))
    # (66, 66) y, 0 where none
    highest = np.where(np.any(full, axis=1), NY - 1 - np.argmax(full[:, ::-1], axis=1), 0)
    around = np.max([highest[i : i + NX, k : k + NZ] for i in range(3) for k in range(3)], axis=0)
    cells = np.indices(ground.shape)
    x, z = cells[0], cells[1]
    inner = (x >= 3) & (x < NX - 3) & (z >= 3) & (z < NZ - 3) & (ground >= SEA) & (ground + 3 < NY)
    feet = np.where(inner, ground, 1)
    good = inner & (around <= feet) & (grid[x, feet, z] == AIR)
    good &= ~np.isin(grid[x, feet - 1, z], (AIR, WATER, *TREE_BLOCKS))
    if not good.any():  # never seen; the middle of the free square, on top of all
        world.spawn = (near[0] + 0.5, NY - 1.0, near[1] + 0.5, 0.0)
        return
    places = np.argwhere(good)  # (n, 2)
    x, z = places[:, 0], places[:, 1]
    y: NDArray[np.int64] = ground[good]
    views = np.zeros((len(ways), len(x)), np.int64)
    for way, (dx, dz) in enumerate(ways):
        clear = np.ones(len(x), np.bool_)
        for k in range(1, 13):
            a, c = x + k * dx, z + k * dz
            clear &= (a >= 0) & (a < NX) & (c >= 0) & (c < NZ)
            clear &= grid[a % NX, y + 1, c % NZ] == AIR
            views[way] += clear
    away = np.maximum(0, np.abs(x - near[0]) + np.abs(z - near[1]) - 6)
    best = int(np.argmax(views.sum(0) - 3 * away - 5 * np.maximum(0, y - SEA - 5)))
    far = np.flatnonzero(views[:, best] >= 6).tolist() or [int(np.argmax(views[:, best]))]
    yaw = 45.0 * float(far[int(x[best] * 5 + z[best] * 3) % len(far)]) + 15.0 * float(rng.integers(-1, 2))
    world.spawn = (float(x[best]) + 0.5, float(y[best]), float(z[best]) + 0.5, (yaw + 180.0) % 360.0 - 180.0)
