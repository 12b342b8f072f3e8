"""The ground of a world: rolling hills, mountains with overhangs and caves, lakes, beaches, snow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.blocks.materials import AIR, BEDROCK, BLOCK, WATER

SIZE = (64, 32, 64)  # x, y (up), z
SEA = 9  # height of the water's surface: cells below it fill with water
SNOW_LINE = 17


@dataclass
class World:
    """A generated world; everything a player may change is ``grid`` alone."""

    grid: NDArray[np.uint8]  # (64, 32, 64) block numbers
    ground: NDArray[np.int64]  # (64, 64) height of the natural ground's surface
    tint: NDArray[np.float32]  # (64, 64, 3) hue of grass and leaves, about 1
    spawn: tuple[float, float, float, float]  # feet x, y, z and yaw in degrees


def generate(seed: int) -> World:
    """Make the world of a seed; the same seed gives the same world everywhere.

    Raises:
        ValueError: the seed is negative.
    """
    from envs.blocks import landmarks  # it builds on this file's World

    if seed < 0:
        raise ValueError(f"expected a world seed of 0 or more, found {seed}: choose another seed")
    rng = np.random.default_rng([1, seed])
    world = _ground(rng)
    landmarks.build(world, rng)
    return world


def noise(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> NDArray[np.float64]:
    """Smooth value noise in [0, 1] of any dimension; ``scale`` is the distance between its knots in cells."""
    out = rng.random([int(np.ceil(n / scale)) + 2 for n in shape])
    for axis, n in enumerate(shape):
        at = np.arange(n) / scale + rng.random()
        low = at.astype(np.int64)
        part = at - low
        part = (part * part * (3 - 2 * part)).reshape([-1 if a == axis else 1 for a in range(len(shape))])
        out = np.take(out, low, axis) * (1 - part) + np.take(out, low + 1, axis) * part
    return out


def _ramp(value: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    part = np.clip((value - low) / (high - low), 0, 1)
    return part * part * (3 - 2 * part)


def _ground(rng: np.random.Generator) -> World:
    nx, ny, nz = SIZE
    x, z = np.meshgrid(np.arange(nx), np.arange(nz), indexing="ij")
    # (64, 64) cells to the edge
    border = np.minimum.reduce([x, nx - 1 - x, z, nz - 1 - z]).astype(np.float64)

    height = 7.0 + 6.5 * noise(rng, (nx, nz), 24) + 1.5 * noise(rng, (nx, nz), 9)
    peaks = _ramp(noise(rng, (nx, nz), 17), 0.66, 0.88) * 10
    rim = _ramp(noise(rng, (nx, nz), 11), 0.45, 0.8) * 9 * (1 - _ramp(border, 0, 6))
    height = np.maximum(height + peaks + rim, 5.0)
    high = np.maximum(height - 16, 0)
    height = np.minimum(height, 16) + 9 * high / (9 + high)  # room for the sky

    # Where it is steep, noise in three dimensions bends the surface into overhangs.
    y = np.arange(ny)[None, :, None]
    wild = np.clip((peaks + rim) / 7, 0, 1)[:, None, :]
    bend = (noise(rng, SIZE, 6) - 0.5) * 7 * wild
    solid = y + 0.5 < height[:, None, :] + bend  # (64, 32, 64)
    tunnels = np.abs(noise(rng, SIZE, 9) - 0.5) + np.abs(noise(rng, SIZE, 9) - 0.5) < 0.075
    solid &= ~(tunnels & (y > SEA) & (height[:, None, :] > SEA + 3))
    solid[:, 0] = True
    solid[:, ny - 6 :] = False
    solid = _rooted(solid)

    grid = np.where(solid, np.uint8(BLOCK["stone"]), np.uint8(AIR))
    top = ny - 1 - np.argmax(solid[:, ::-1], axis=1)  # (64, 64) y of the highest solid cell
    depth = top[:, None, :] - y
    rocky = _ramp(peaks + rim, 3.0, 5.0)[:, None, :] > 0.5
    soil = solid & (depth < 4) & ~rocky
    grid[soil] = BLOCK["dirt"]
    grid[solid & (depth == 0) & ~rocky] = BLOCK["grass"]
    shore = (top < SEA) | ((top == SEA) & (noise(rng, (nx, nz), 7) > 0.6))
    grid[solid & (depth < 3) & shore[:, None, :]] = BLOCK["sand"]
    grid[solid & (depth < 2) & (top >= SNOW_LINE)[:, None, :]] = BLOCK["snow"]
    grid[(grid == AIR) & (y < SEA) & (depth <= 0)] = WATER
    grid[:, 0] = BEDROCK

    warm, lush = noise(rng, (nx, nz), 15), noise(rng, (nx, nz), 13)
    tint = np.stack([0.86 + 0.28 * warm, 0.90 + 0.18 * lush, 0.84 + 0.26 * (1 - warm)], -1)
    return World(grid, top + 1, tint.astype(np.float32), (0.0, 0.0, 0.0, 0.0))


def _rooted(solid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Drop the parts that hang in the air: keep what is connected with the bottom."""
    kept = np.zeros_like(solid)
    kept[:, 0] = solid[:, 0]
    count = -1
    while count != (count := int(kept.sum())):
        for y in range(1, solid.shape[1]):  # upwards in one sweep, sideways and down one cell a round
            kept[:, y] |= kept[:, y - 1]
            kept[:, y] &= solid[:, y]
        kept[:, :-1] |= kept[:, 1:]
        kept[1:] |= kept[:-1]
        kept[:-1] |= kept[1:]
        kept[:, :, 1:] |= kept[:, :, :-1]
        kept[:, :, :-1] |= kept[:, :, 1:]
        kept &= solid
    return kept
