"""DeepMind Lab's wall, floor and sky pictures, read from the labmaze package and prefiltered.

A texture is kept as a *ripmap*: one 256x256 sheet holding the 128x128 picture halved 0..7 times in each
direction independently, level (lv, lu) at row ``256 - (256 >> lv)`` and column ``256 - (256 >> lu)``. A wall
seen at a grazing angle is then filtered along the wall and stays sharp upwards. The renderer reads *packed*
texels: red, green and blue 21 bits apart in one int64, so that one multiplication weighs all three and all
arithmetic is exact.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from labmaze import assets
from numpy.typing import NDArray
from PIL import Image

SIDE = 128  # texels along a whole cell
LEVELS = 8  # 128 .. 1 texels
SKY_SIDE = 64


def _named(names: dict[str, tuple[str, ...]]) -> tuple[tuple[str, str], ...]:
    return tuple((style, name) for style in assets.MAZE_STYLES for name in names[style])


WALLS = _named(assets.WALL_TEXTURES)  # 32 x (style, name); the index is the one in the id picture
FLOORS = _named(assets.FLOOR_TEXTURES)  # 28 x (style, name)
SKIES = tuple(assets.SKY_STYLES)

_WALL_FAMILIES = {
    "blue": "1 blue, 2 dblue, 3 blue",
    "purple": "1 purple, 2 purple, 3 purple, 4 purple",
    "red": "1 red, 1 red_bright, 1 cerise, 4 red, 4 red_bright, 4 cerise, 5 red, 5 red_bright",
    "green": "1 green, 1 green_bright, 4 green, 4 green_bright",
    "cyan": "2 lgreen, 3 cyan",
    "yellow": "1 yellow, 2 yellow, 2 yellow_bright, 5 yellow, 5 yellow_bright",
    "orange": "3 orange, 3 orange_bright",
    "gray": "2 blue, 2 blue_bright, 3 gray, 3 gray_bright",
}
_FLOOR_FAMILIES = {
    "blue": "1 blue, 1 blue_bright, 1 blue_team, 2 blue, 2 blue_bright, 3 blue, 3 blue_bright, 4 blue, "
    "4 blue_bright, 5 blue, 5 blue_bright",
    "yellow": "1 orange_bright, 4 orange_bright, 4 orange, 5 orange_bright",
    "orange": "1 orange, 2 orange, 3 orange, 4 dorange, 5 orange",
    "green": "2 green, 2 green_bright, 3 green, 3 green_bright, 4 cyan",
    "red": "1 red_team, 3 red, 3 purple",
}


def _families(table: dict[str, str], names: tuple[tuple[str, str], ...]) -> dict[str, tuple[int, ...]]:
    found = {}
    for family, members in table.items():
        pairs = (member.split() for member in members.split(", "))
        found[family] = tuple(names.index((f"style_0{style}", name)) for style, name in pairs)
    return found


# Texture indices by the colour they are seen as: the names alone mislead (style_02's "blue" walls are gray).
WALL_FAMILIES = _families(_WALL_FAMILIES, WALLS)
FLOOR_FAMILIES = _families(_FLOOR_FAMILIES, FLOORS)


def _read(path: str, side: int) -> NDArray[np.uint8]:
    """The picture at ``path`` averaged down to (side, side, 3)."""
    with Image.open(Path(path)) as image:
        rgb = np.asarray(image.convert("RGBA"))[..., :3]
    k = rgb.shape[0] // side
    total = rgb.reshape(side, k, side, k, 3).sum(axis=(1, 3), dtype=np.int64)
    return ((total + k * k // 2) // (k * k)).astype(np.uint8)


@functools.cache
def wall(index: int) -> NDArray[np.uint8]:
    """Wall picture ``index`` of WALLS, uint8 (128, 128, 3), top row first."""
    style, name = WALLS[index]
    return _read(assets.get_wall_texture_paths(style)[name], SIDE)


@functools.cache
def floor(index: int) -> NDArray[np.uint8]:
    """Floor picture ``index`` of FLOORS, uint8 (128, 128, 3)."""
    style, name = FLOORS[index]
    return _read(assets.get_floor_texture_paths(style)[name], SIDE)


@functools.cache
def sky(index: int) -> NDArray[np.int64]:
    """Sky ``index`` of SKIES as packed texels (5, 64, 64): towards +z, -x, -z, +x, and up."""
    box = assets.get_sky_texture_paths(SKIES[index])
    return pack(np.stack([_read(p, SKY_SIDE) for p in (box.front, box.right, box.back, box.left, box.up)]))


def pack(rgb: NDArray[np.uint8]) -> NDArray[np.int64]:
    """uint8 (..., 3) -> int64 (...): r + g * 2**21 + b * 2**42."""
    wide = rgb.astype(np.int64)
    return wide[..., 0] | wide[..., 1] << 21 | wide[..., 2] << 42


@functools.cache
def wall_sheet(index: int, light: float) -> NDArray[np.int64]:
    """The ripmap of wall ``index`` at a brightness of 0..1."""
    return ripmap(wall(index), light)


@functools.cache
def floor_sheet(index: int) -> NDArray[np.int64]:
    """The ripmap of floor ``index``."""
    return ripmap(floor(index))


def ripmap(picture: NDArray[np.uint8], light: float = 1.0) -> NDArray[np.int64]:
    """Dim a picture, uint8 (128, 128, 3), and prefilter it -> packed ripmap, int64 (256, 256)."""
    sheet = np.zeros((2 * SIDE, 2 * SIDE, 3), np.uint8)
    rows = np.floor(picture * light + 0.5).astype(np.float32)
    for lv in range(LEVELS):
        top, height = _place(lv)
        level = rows
        for lu in range(LEVELS):
            left, width = _place(lu)
            sheet[top : top + height, left : left + width] = level + np.float32(0.5)  # rounds to nearest
            if lu + 1 < LEVELS:
                level = (level[:, 0::2] + level[:, 1::2]) * np.float32(0.5)
        if lv + 1 < LEVELS:
            rows = (rows[0::2] + rows[1::2]) * np.float32(0.5)
    return pack(sheet)


def _place(level: int) -> tuple[int, int]:
    """Where a level begins along one axis of the sheet, and how long it is."""
    return 2 * SIDE - (2 * SIDE >> level), SIDE >> level
