"""How a player moves, falls, swims and points, over any grid of nodes; one tick is 1/20 s.

The constants are those by which Minecraft players know the game: 4.32 m/s walking, 5.61 sprinting,
1.30 sneaking, jumps of 1.25 blocks.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

HALF_WIDTH, HEIGHT, EYE = 0.3, 1.8, 1.62  # blocks
REACH = 4.5  # blocks from the eye
GRAVITY, FALL_DRAG, JUMP = 0.08, 0.98, 0.42
GROUND_DRAG, AIR_DRAG = 0.546, 0.91
WATER_DRAG, WATER_GRAVITY, SWIM = 0.8, 0.02, 0.04
WALK, AIR_PUSH, WATER_PUSH = 0.1, 0.02, 0.02
EPS = 1e-7

# A body is float64 (7,): feet x, y, z; velocity x, y, z in blocks a tick; 1 when on the ground.
BODY = 7


@njit(cache=True)
def _blocked(grid, solid, x, y, z):  # type: ignore[no-untyped-def]
    """Whether a cell stops the player: the sides and the floor of the grid do, its open top does not."""
    nx, ny, nz = grid.shape
    if x < 0 or x >= nx or z < 0 or z >= nz or y < 0:
        return True
    if y >= ny:
        return False
    return solid[grid[x, y, z]]


@njit(cache=True)
def free(grid, solid, x, y, z):  # type: ignore[no-untyped-def]
    """Whether the player's box, feet at (x, y, z), touches no solid cell."""
    for a in range(int(math.floor(x - HALF_WIDTH + EPS)), int(math.floor(x + HALF_WIDTH - EPS)) + 1):
        for b in range(int(math.floor(y + EPS)), int(math.floor(y + HEIGHT - EPS)) + 1):
            for c in range(int(math.floor(z - HALF_WIDTH + EPS)), int(math.floor(z + HALF_WIDTH - EPS)) + 1):
                if _blocked(grid, solid, a, b, c):
                    return False
    return True


@njit(cache=True)
def _sweep(grid, solid, low, high, axis, move):  # type: ignore[no-untyped-def]
    """How far a box may move along one axis, at most ``move``, before it touches a solid cell."""
    a, b = (axis + 1) % 3, (axis + 2) % 3
    a0, a1 = int(math.floor(low[a] + EPS)), int(math.floor(high[a] - EPS))
    b0, b1 = int(math.floor(low[b] + EPS)), int(math.floor(high[b] - EPS))
    if move > 0:
        first, last, step = int(math.floor(high[axis] - EPS)) + 1, int(math.floor(high[axis] + move)), 1
    else:
        first, last, step = int(math.floor(low[axis] + EPS)) - 1, int(math.floor(low[axis] + move)), -1
    for k in range(first, last + step, step):
        for i in range(a0, a1 + 1):
            for j in range(b0, b1 + 1):
                x, y, z = (k, i, j) if axis == 0 else ((j, k, i) if axis == 1 else (i, j, k))
                if _blocked(grid, solid, x, y, z):
                    if move > 0:
                        return max(0.0, min(move, k - high[axis]))
                    return min(0.0, max(move, k + 1 - low[axis]))
    return move


@njit(cache=True)
def _held(grid, solid, body, dx, dz):  # type: ignore[no-untyped-def]
    """Whether the player, moved by (dx, dz), would still have something underfoot."""
    y = int(math.floor(body[1] - 0.1))
    for a in range(
        int(math.floor(body[0] + dx - HALF_WIDTH + EPS)), int(math.floor(body[0] + dx + HALF_WIDTH - EPS)) + 1
    ):
        for c in range(
            int(math.floor(body[2] + dz - HALF_WIDTH + EPS)),
            int(math.floor(body[2] + dz + HALF_WIDTH - EPS)) + 1,
        ):
            if _blocked(grid, solid, a, y, c):
                return True
    return False


@njit(cache=True)
def _wet(grid, water, x, y, z):  # type: ignore[no-untyped-def]
    nx, ny, nz = grid.shape
    a, b, c = int(math.floor(x)), int(math.floor(y)), int(math.floor(z))
    return a >= 0 and a < nx and b >= 0 and b < ny and c >= 0 and c < nz and grid[a, b, c] == water


@njit(cache=True)
def tick(grid, solid, water, body, yaw, forward, right, jump, sneak, sprint):  # type: ignore[no-untyped-def]
    """Move a body by one tick, in place.

    Args:
        grid: uint8 (NX, NY, NZ) node numbers; solid: bool (256,) by node number; water: the liquid's number.
        body: float64 (7,), see BODY.
        yaw: degrees, 0 looks to +z and 90 to -x.
        forward, right: -1, 0 or 1 as the keys say; jump, sneak, sprint: bool.
    """
    in_water = _wet(grid, water, body[0], body[1] + 0.4, body[2])
    sprint = sprint and forward > 0 and not sneak
    on_ground = body[6] > 0.5

    if jump:
        if in_water:
            body[4] += SWIM
        elif on_ground:
            body[4] = JUMP
            if sprint:
                body[3] -= math.sin(math.radians(yaw)) * 0.2
                body[5] += math.cos(math.radians(yaw)) * 0.2

    ahead, aside = forward * 0.98, right * 0.98
    if sneak:
        ahead, aside = ahead * 0.3, aside * 0.3
    length = ahead * ahead + aside * aside
    if length > 1e-8:
        push = WATER_PUSH if in_water else (WALK if on_ground else AIR_PUSH)
        if sprint:
            push *= 1.3
        push /= max(1.0, math.sqrt(length))
        sin, cos = math.sin(math.radians(yaw)), math.cos(math.radians(yaw))
        body[3] += push * (-sin * ahead - cos * aside)
        body[5] += push * (cos * ahead - sin * aside)

    vx, vy, vz = body[3], body[4], body[5]
    if sneak and on_ground and not in_water:  # step back from an edge, little by little
        while vx != 0.0 and not _held(grid, solid, body, vx, 0.0):
            vx = 0.0 if abs(vx) < 0.05 else vx - math.copysign(0.05, vx)
        while vz != 0.0 and not _held(grid, solid, body, 0.0, vz):
            vz = 0.0 if abs(vz) < 0.05 else vz - math.copysign(0.05, vz)
        while vx != 0.0 and vz != 0.0 and not _held(grid, solid, body, vx, vz):
            vx = 0.0 if abs(vx) < 0.05 else vx - math.copysign(0.05, vx)
            vz = 0.0 if abs(vz) < 0.05 else vz - math.copysign(0.05, vz)
        body[3], body[5] = vx, vz

    low = np.array([body[0] - HALF_WIDTH, body[1], body[2] - HALF_WIDTH])
    high = np.array([body[0] + HALF_WIDTH, body[1] + HEIGHT, body[2] + HALF_WIDTH])
    wish = (vx, vy, vz)
    bumped = False
    for axis in (1, 0, 2):
        moved = _sweep(grid, solid, low, high, axis, wish[axis])
        low[axis] += moved
        high[axis] += moved
        body[axis] += moved
        if axis == 1:
            body[6] = 1.0 if (moved != vy and vy < 0) else 0.0
        if moved != wish[axis]:
            body[3 + axis] = 0.0
            bumped = bumped or axis != 1

    if in_water:
        body[3] *= WATER_DRAG
        body[4] = body[4] * WATER_DRAG - WATER_GRAVITY
        body[5] *= WATER_DRAG
        if bumped and jump and free(grid, solid, body[0] + vx, body[1] + 0.6, body[2] + vz):
            body[4] = 0.3  # climb out at the bank
    else:
        drag = GROUND_DRAG if on_ground else AIR_DRAG
        body[3] *= drag
        body[5] *= drag
        body[4] = (body[4] - GRAVITY) * FALL_DRAG
    for k in (3, 5):
        if abs(body[k]) < 0.003:  # come to rest
            body[k] = 0.0


@njit(cache=True)
def point_at(grid, water, x, y, z, dx, dy, dz, reach):  # type: ignore[no-untyped-def]
    """The first node along a ray that is neither air nor liquid.

    Returns:
        the node's cell and the cell before it, six ints; all -1 when nothing is within reach.
    """
    nx, ny, nz = grid.shape
    i, j, k = int(math.floor(x)), int(math.floor(y)), int(math.floor(z))
    a, b, c = i, j, k
    sx, sy, sz = (1 if dx > 0 else -1), (1 if dy > 0 else -1), (1 if dz > 0 else -1)
    gx, gy, gz = 1.0 / max(abs(dx), 1e-12), 1.0 / max(abs(dy), 1e-12), 1.0 / max(abs(dz), 1e-12)
    tx = ((i + 1 - x) if sx > 0 else (x - i)) * gx
    ty = ((j + 1 - y) if sy > 0 else (y - j)) * gy
    tz = ((k + 1 - z) if sz > 0 else (z - k)) * gz
    t = 0.0
    while t <= reach:
        if i >= 0 and i < nx and j >= 0 and j < ny and k >= 0 and k < nz:
            node = grid[i, j, k]
            if node != 0 and node != water and t > 0.0:
                return i, j, k, a, b, c
        a, b, c = i, j, k
        if tx < ty and tx < tz:
            t = tx
            i += sx
            tx += gx
        elif ty < tz:
            t = ty
            j += sy
            ty += gy
        else:
            t = tz
            k += sz
            tz += gz
    return -1, -1, -1, -1, -1, -1
