"""Eighty wall decals, drawn by formula: sixteen glyphs on plates in five pairs of colours.

Design ``d`` is glyph ``d % 16`` in colours ``d // 16``. A plate covers the middle 58% of a wall face, so that
a decal two cells away is still a dozen pixels wide in a 64x64 picture.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from envs.labmaze.textures import SIDE

GLYPHS = (
    "disc", "ring", "square", "diamond", "triangle", "wedge", "plus", "cross",
    "star", "heart", "crescent", "arrow", "bars", "pillars", "checker", "hourglass",
)  # fmt: skip
PLATE_AND_INK = (
    ((250, 250, 250), (215, 20, 35)),
    ((22, 22, 28), (250, 215, 20)),
    ((25, 60, 205), (255, 255, 255)),
    ((20, 160, 70), (20, 8, 30)),
    ((235, 70, 190), (255, 252, 120)),
)
COUNT = len(GLYPHS) * len(PLATE_AND_INK)  # 80
EXTENT = 0.58  # plate width / face width
_OVERSAMPLE = 4


@functools.cache
def design(index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Design ``index``: colour float32 (128, 128, 3) in 0..255, and opacity float32 (128, 128) in 0..1.

    Raises:
        IndexError: the index is not in 0..79.
    """
    if not 0 <= index < COUNT:
        raise IndexError(f"expected a decal design in 0..{COUNT - 1}, found {index}")
    glyph = GLYPHS[index % len(GLYPHS)]
    plate_colour, ink_colour = PLATE_AND_INK[index // len(GLYPHS)]
    opacity = _plate()[1]
    cover = _inked(glyph)[..., None] / np.maximum(opacity, 1e-6)[..., None]
    colour = cover * np.array(ink_colour, np.float32) + (1 - cover) * np.array(plate_colour, np.float32)
    return colour.astype(np.float32), opacity


@functools.cache
def mask(index: int) -> NDArray[np.bool_]:
    """Where design ``index`` hides the wall: bool (128, 128)."""
    return design(index)[1] >= 0.5


def paint(wall: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
    """A wall picture uint8 (128, 128, 3) with design ``index`` on it."""
    colour, opacity = design(index)
    mixed = wall + (colour - wall) * opacity[..., None]
    return np.floor(mixed + 0.5).astype(np.uint8)


def _average(inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    blocks = inside.reshape(SIDE, _OVERSAMPLE, SIDE, _OVERSAMPLE)
    return (blocks.sum(axis=(1, 3)) / np.float32(_OVERSAMPLE**2)).astype(np.float32)


def _canvas() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates of the points of a face; the plate spans -1..1, y up."""
    line = ((np.arange(SIDE * _OVERSAMPLE) + 0.5) / (SIDE * _OVERSAMPLE) * 2.0 - 1.0) / EXTENT
    x, y = np.meshgrid(line, -line)
    return x, y


@functools.cache
def _inked(glyph: str) -> NDArray[np.float32]:
    """How much of each texel a glyph covers."""
    x, y = _canvas()
    return _average(_ink(glyph, x / 0.78, y / 0.78) & _plate()[0])


@functools.cache
def _plate() -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """A square with rounded corners: its points, and how much of each texel it covers."""
    x, y = _canvas()
    dx, dy = np.maximum(np.abs(x) - 0.75, 0), np.maximum(np.abs(y) - 0.75, 0)
    inside = dx * dx + dy * dy <= 0.25**2
    return inside, _average(inside)


def _ink(glyph: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Points of a glyph, which spans about -1..1 both ways."""
    r2, ax, ay = x * x + y * y, np.abs(x), np.abs(y)
    match glyph:
        case "disc":
            return r2 <= 0.8**2
        case "ring":
            return (r2 <= 0.95**2) & (r2 >= 0.5**2)
        case "square":
            return np.maximum(ax, ay) <= 0.7
        case "diamond":
            return ax + ay <= 1.0
        case "triangle":
            return (y >= -0.75) & (y <= 0.85 - 1.9 * ax)
        case "wedge":
            return (x >= -0.75) & (x <= 0.85 - 1.9 * ay)
        case "plus":
            return (np.minimum(ax, ay) <= 0.28) & (np.maximum(ax, ay) <= 0.95)
        case "cross":
            return (np.abs(ax - ay) <= 0.38) & (np.maximum(ax, ay) <= 0.9)
        case "star":
            return _star(x, y)
        case "heart":
            lobes = (ax - 0.42) ** 2 + (y - 0.35) ** 2 <= 0.45**2
            return lobes | ((y <= 0.3) & (ax * 1.05 <= y + 0.95))
        case "crescent":
            return (r2 <= 0.95**2) & ((x - 0.4) ** 2 + y * y > 0.75**2)
        case "arrow":
            head = (y >= 0.0) & (ax <= 0.95 - y)
            return head | ((ax <= 0.3) & (y <= 0.0) & (y >= -0.95))
        case "bars":
            return (ax <= 0.95) & ((ay <= 0.2) | ((ay >= 0.55) & (ay <= 0.95)))
        case "pillars":
            return (ay <= 0.95) & ((ax <= 0.2) | ((ax >= 0.55) & (ax <= 0.95)))
        case "checker":
            return (np.maximum(ax, ay) <= 0.95) & (x * y >= 0)
        case _:
            return (ay <= 0.9) & (ax <= 0.1 + ay)


def _star(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """A five-pointed star: inside at least four of the five edges' half planes."""
    count = np.zeros(x.shape, np.int64)
    for k in range(5):
        angle = np.pi / 2 + 2 * np.pi * k / 5
        count += -x * np.cos(angle) - y * np.sin(angle) <= 0.32
    return count >= 4
