"""What can be built on a site: houses, towers, walls, signs and other things worth remembering.

Every builder takes a site, a random generator and the site's two colours of wool.
"""

from __future__ import annotations

import numpy as np

from envs.blocks.materials import AIR, BLOCK, SIGNS
from envs.blocks.terrain import SEA, SIZE, World

NX, NY, NZ = SIZE


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


def house(s: Site, rng: np.random.Generator, main: int, other: int) -> None:
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


def tower(s: Site, rng: np.random.Generator, main: int, other: int) -> None:
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


def wall(s: Site, rng: np.random.Generator, main: int, other: int) -> None:
    half, tall, style = int(rng.integers(2, 5)), int(rng.integers(3, 6)), int(rng.integers(4))
    s.level(half, 1, BLOCK["grass"])
    for u in range(-half, half + 1):
        for w in range(tall):
            odd = (w % 2, u % 2, (u + w) % 2, int(abs(u) == half or w in (0, tall - 1)))[style]
            s.put(u, w, 0, other if odd else main)
    if style == 3:
        sign = int(rng.choice(SIGNS))
        s.fill(range(-1, 2), range(1, tall - 1), range(1), sign)


def signboard(s: Site, rng: np.random.Generator, main: int, other: int) -> None:
    wide, tall = int(rng.integers(1, 3)), int(rng.integers(2, 4))
    one, two = (int(k) for k in rng.choice(SIGNS, 2, replace=False))
    s.level(wide, 1, BLOCK["gravel"])
    for u in (-wide, wide):
        s.fill(range(u, u + 1), range(1 + tall), range(1), BLOCK["log"])
    for u in range(-wide, wide + 1):
        s.fill(range(u, u + 1), range(1, 1 + tall), range(1), one if u % 2 == 0 else two)
    s.fill(range(-wide, wide + 1), range(1 + tall, 2 + tall), range(1), main)


def pillar(s: Site, rng: np.random.Generator, main: int, other: int) -> None:
    tall, wide = int(rng.integers(5, 9)), int(rng.integers(1, 3))
    s.level(wide, wide, BLOCK["sandstone"])
    body = int(rng.choice((BLOCK["quartz"], BLOCK["sandstone"], BLOCK["cobble"], main)))
    s.fill(range(wide), range(tall), range(wide), body)
    s.fill(range(-1, wide + 1), range(1), range(-1, wide + 1), BLOCK["quartz"])
    s.fill(range(-1, wide + 1), range(tall, tall + 2), range(-1, wide + 1), other)
    s.fill(range(wide), range(tall + 2, tall + 3), range(wide), BLOCK["lamp"])


def arch(s: Site, rng: np.random.Generator, main: int, other: int) -> None:
    half, tall = int(rng.integers(2, 4)), int(rng.integers(4, 7))
    s.level(half, 1, BLOCK["gravel"])
    for u in (-half, half):
        s.fill(range(u, u + 1), range(tall), range(-1, 1), main)
    s.fill(range(-half, half + 1), range(tall, tall + 1), range(-1, 1), other)
    s.fill(range(-half + 1, half), range(tall + 1, tall + 2), range(-1, 1), main)
    s.put(0, tall + 2, 0, BLOCK["lamp"])


def pyramid(s: Site, rng: np.random.Generator, main: int, other: int) -> None:
    half = int(rng.integers(3, 5))
    s.level(half, half, BLOCK["sand"])
    for w in range(half + 1):
        k = half - w
        s.fill(
            range(-k, k + 1), range(w, w + 1), range(-k, k + 1), BLOCK["sandstone"] if w % 2 == 0 else main
        )
    s.fill(range(1), range(half + 1, half + 3), range(1), other)


def mushroom(s: Site, rng: np.random.Generator, main: int, other: int) -> None:
    tall = int(rng.integers(4, 7))
    s.level(1, 1, BLOCK["grass"])
    s.fill(range(1), range(tall), range(1), BLOCK["quartz"])
    s.fill(range(-2, 3), range(tall - 1, tall + 1), range(-2, 3), main)
    s.fill(range(-1, 2), range(tall - 1, tall), range(-1, 2), AIR)
    s.put(0, tall - 1, 0, BLOCK["quartz"])
    s.fill(range(-1, 2), range(tall + 1, tall + 2), range(-1, 2), main)
    for u, v in ((-2, 0), (2, 1), (0, -2), (-1, 2)):
        s.put(u, tall, v, other)
