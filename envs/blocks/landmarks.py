"""What stands on the ground: houses, towers, walls, signs, trees, paths, and the place where a player starts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from envs.blocks.materials import AIR, BLOCK, SIGNS, TREE_BLOCKS, WATER, WOOLS
from envs.blocks.terrain import SEA, SIZE, World

NX, NY, NZ = SIZE
GRID = 6  # landmarks stand about the middles of GRID x GRID squares


class Site:
    """A place to build on, in its own axes: u to the right, v to the back, w up from the ground."""

    def __init__(self, world: World, x: int, z: int, turn: int) -> None:
        self.world, self.x, self.z, self.turn = world, x, z, turn
        self.y = 0

    def at(self, u: int, v: int) -> tuple[int, int]:
        """World x, z of a place of the site."""
        for _ in range(self.turn):
            u, v = -v, u
        return self.x + u, self.z + v

    def put(self, u: int, w: int, v: int, block: int) -> None:
        """Set a block; silently nothing outside the world."""
        x, z = self.at(u, v)
        y = self.y + w
        if 0 <= x < NX and 0 < y < NY and 0 <= z < NZ:
            self.world.grid[x, y, z] = block

    def fill(self, u: range, w: range, v: range, block: int) -> None:
        """Set a box of blocks."""
        for a in u:
            for b in w:
                for c in v:
                    self.put(a, b, c, block)

    def level(self, half_u: int, half_v: int, floor: int) -> None:
        """Flatten the ground below a building and clear the air above it."""
        columns = [self.at(u, v) for u in range(-half_u, half_u + 1) for v in range(-half_v, half_v + 1)]
        columns = [(x, z) for x, z in columns if 0 <= x < NX and 0 <= z < NZ]
        heights = sorted(int(self.world.ground[x, z]) for x, z in columns)
        self.y = min(max(heights[len(heights) // 2], SEA), NY - 18)
        for x, z in columns:
            self.world.grid[x, self.y :, z] = AIR
            self.world.grid[x, max(1, min(int(self.world.ground[x, z]), self.y - 1)) : self.y, z] = BLOCK[
                "dirt"
            ]
            self.world.grid[x, self.y - 1, z] = floor
            self.world.ground[x, z] = self.y


Maker = Callable[[Site, np.random.Generator, int, int], None]


def build(world: World, rng: np.random.Generator) -> None:
    """Put landmarks, paths, trees and the start into a world, in place."""
    sites, spawn = _sites(world, rng)
    shares: tuple[tuple[Maker, int], ...] = (
        (_house, 9), (_tower, 7), (_wall, 6), (_signboard, 6), (_pillar, 4), (_arch, 2), (_pyramid, 2), (_mushroom, 2),
    )  # fmt: skip
    makers = [maker for maker, share in shares for _ in range(share)]
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


def _house(s: Site, rng: np.random.Generator, main: int, other: int) -> None:
    a, b, tall = int(rng.integers(2, 4)), int(rng.integers(2, 4)), int(rng.integers(3, 5))
    walls = (
        main,
        main,
        BLOCK["planks"],
        BLOCK["brick"],
        BLOCK["quartz"],
        BLOCK["sandstone"],
        BLOCK["cobble"],
    )
    wall = int(rng.choice(walls))
    post = BLOCK["log"] if rng.random() < 0.6 else BLOCK["dark_planks"]
    s.level(a + 1, b + 1, BLOCK["gravel"])
    s.fill(range(-a, a + 1), range(-1, 0), range(-b, b + 1), BLOCK["planks"])
    s.fill(range(-a, a + 1), range(tall), range(-b, b + 1), wall)
    s.fill(range(-a + 1, a), range(tall), range(-b + 1, b), AIR)
    for u in (-a, a):
        for v in (-b, b):
            s.fill(range(u, u + 1), range(tall), range(v, v + 1), post)
        s.fill(range(u, u + 1), range(1, tall - 1), range(-b + 2, b - 1), BLOCK["glass"])
    for v in (-b, b):
        s.fill(range(-a + 1, -a + 2), range(1, tall - 1), range(v, v + 1), BLOCK["glass"])
        s.fill(range(a - 1, a), range(1, tall - 1), range(v, v + 1), BLOCK["glass"])
    s.fill(range(1), range(2), range(-b, -b + 1), AIR)  # the door is open
    s.put(0, 2, -b, other)
    s.fill(range(-a + 1, a), range(tall - 1), range(b - 1, b), BLOCK["bookshelf"])
    s.put(0, 1, b - 1, int(rng.choice(SIGNS)))
    roof = other if wall != other else BLOCK["dark_planks"]
    if rng.random() < 0.5:  # a gable over the long side
        for k in range(a + 2):
            s.fill(range(-a - 1 + k, a + 2 - k), range(tall + k, tall + k + 1), range(-b - 1, b + 2), roof)
    else:
        for k in range(min(a, b) + 1):
            box = range(-a + k, a + 1 - k), range(-b + k, b + 1 - k)
            s.fill(box[0], range(tall + k, tall + k + 1), box[1], roof)
    s.fill(range(a, a + 1), range(tall, tall + 4), range(b, b + 1), BLOCK["brick"])  # a chimney


def _tower(s: Site, rng: np.random.Generator, main: int, other: int) -> None:
    half, tall, band = int(rng.integers(1, 3)), int(rng.integers(8, 14)), int(rng.integers(1, 4))
    s.level(half + 1, half + 1, BLOCK["cobble"])
    for w in range(tall):
        block = main if w // band % 2 == 0 else other
        s.fill(range(-half, half + 1), range(w, w + 1), range(-half, half + 1), block)
    s.fill(range(-half, half + 1), range(tall, tall + 1), range(-half, half + 1), BLOCK["quartz"])
    for u in range(-half, half + 1, 2):
        for v in range(-half, half + 1, 2):
            s.put(u, tall + 1, v, main)
    if half == 1:
        s.put(0, tall + 1, 0, BLOCK["lamp"])
    sign = int(rng.choice(SIGNS))
    for u, v in ((0, -half), (0, half), (-half, 0), (half, 0)):
        s.put(u, 2, v, sign)


def _wall(s: Site, rng: np.random.Generator, main: int, other: int) -> None:
    half, tall, style = int(rng.integers(2, 5)), int(rng.integers(3, 6)), int(rng.integers(4))
    s.level(half, 1, BLOCK["grass"])
    for u in range(-half, half + 1):
        for w in range(tall):
            odd = (w % 2, u % 2, (u + w) % 2, int(abs(u) == half or w in (0, tall - 1)))[style]
            s.put(u, w, 0, other if odd else main)
    if style == 3:
        sign = int(rng.choice(SIGNS))
        s.fill(range(-1, 2), range(1, tall - 1), range(1), sign)


def _signboard(s: Site, rng: np.random.Generator, main: int, other: int) -> None:
    wide, tall = int(rng.integers(1, 3)), int(rng.integers(2, 4))
    one, two = (int(k) for k in rng.choice(SIGNS, 2, replace=False))
    s.level(wide, 1, BLOCK["gravel"])
    for u in (-wide, wide):
        s.fill(range(u, u + 1), range(1 + tall), range(1), BLOCK["log"])
    for u in range(-wide, wide + 1):
        s.fill(range(u, u + 1), range(1, 1 + tall), range(1), one if u % 2 == 0 else two)
    s.fill(range(-wide, wide + 1), range(1 + tall, 2 + tall), range(1), main)


def _pillar(s: Site, rng: np.random.Generator, main: int, other: int) -> None:
    tall, wide = int(rng.integers(5, 9)), int(rng.integers(1, 3))
    s.level(wide, wide, BLOCK["sandstone"])
    body = int(rng.choice((BLOCK["quartz"], BLOCK["sandstone"], BLOCK["cobble"], main)))
    s.fill(range(wide), range(tall), range(wide), body)
    s.fill(range(-1, wide + 1), range(1), range(-1, wide + 1), BLOCK["quartz"])
    s.fill(range(-1, wide + 1), range(tall, tall + 2), range(-1, wide + 1), other)
    s.fill(range(wide), range(tall + 2, tall + 3), range(wide), BLOCK["lamp"])


def _arch(s: Site, rng: np.random.Generator, main: int, other: int) -> None:
    half, tall = int(rng.integers(2, 4)), int(rng.integers(4, 7))
    s.level(half, 1, BLOCK["gravel"])
    for u in (-half, half):
        s.fill(range(u, u + 1), range(tall), range(-1, 1), main)
    s.fill(range(-half, half + 1), range(tall, tall + 1), range(-1, 1), other)
    s.fill(range(-half + 1, half), range(tall + 1, tall + 2), range(-1, 1), main)
    s.put(0, tall + 2, 0, BLOCK["lamp"])


def _pyramid(s: Site, rng: np.random.Generator, main: int, other: int) -> None:
    half = int(rng.integers(3, 5))
    s.level(half, half, BLOCK["sand"])
    for w in range(half + 1):
        k = half - w
        s.fill(
            range(-k, k + 1), range(w, w + 1), range(-k, k + 1), BLOCK["sandstone"] if w % 2 == 0 else main
        )
    s.fill(range(1), range(half + 1, half + 3), range(1), other)


def _mushroom(s: Site, rng: np.random.Generator, main: int, other: int) -> None:
    tall = int(rng.integers(4, 7))
    s.level(1, 1, BLOCK["grass"])
    s.fill(range(1), range(tall), range(1), BLOCK["quartz"])
    s.fill(range(-2, 3), range(tall - 1, tall + 1), range(-2, 3), main)
    s.fill(range(-1, 2), range(tall - 1, tall), range(-1, 2), AIR)
    s.put(0, tall - 1, 0, BLOCK["quartz"])
    s.fill(range(-1, 2), range(tall + 1, tall + 2), range(-1, 2), main)
    for u, v in ((-2, 0), (2, 1), (0, -2), (-1, 2)):
        s.put(u, tall, v, other)


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
    full: NDArray[np.bool_] = np.pad(grid != AIR, ((1, 1), (0, 0), (1, 1)))
    highest = np.where(full.any(1), NY - 1 - np.argmax(full[:, ::-1], axis=1), 0)  # (66, 66) y, 0 where none
    around = np.max([highest[i : i + NX, k : k + NZ] for i in range(3) for k in range(3)], axis=0)
    x, z = np.indices(ground.shape)
    inner = (x >= 3) & (x < NX - 3) & (z >= 3) & (z < NZ - 3) & (ground >= SEA) & (ground + 3 < NY)
    y = np.where(inner, ground, 1)
    good = inner & (around <= y) & (grid[x, y, z] == AIR)
    good &= ~np.isin(grid[x, y - 1, z], (AIR, WATER, *TREE_BLOCKS))
    if not good.any():  # never seen; the middle of the free square, on top of all
        world.spawn = (near[0] + 0.5, NY - 1.0, near[1] + 0.5, 0.0)
        return
    x, y, z = x[good], y[good], z[good]
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
    far = np.flatnonzero(views[:, best] >= 6)
    if len(far) == 0:
        far = np.array([np.argmax(views[:, best])])
    yaw = 45.0 * float(far[int(x[best] * 5 + z[best] * 3) % len(far)]) + 15.0 * float(rng.integers(-1, 2))
    world.spawn = (x[best] + 0.5, float(y[best]), z[best] + 0.5, (yaw + 180.0) % 360.0 - 180.0)
