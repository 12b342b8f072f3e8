"""Procedural 16x16 block pictures with mip levels: soft noise inside a block, plain structure on it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from envs.blocks.materials import BLOCK, COLOURS, NAMES, PICTURES

SIDE = 16
TEXELS = 341  # in a row: levels of 16, 8, 4, 2 and 1 start at 0, 256, 320, 336 and 340
Picture = NDArray[np.float64]
ROW, COL = np.mgrid[0:SIDE, 0:SIDE]


def atlas() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All pictures and which block shows which one.

    Returns:
        texels uint8 (pictures, 341, 3): the five mip levels of each picture, row by row, one after another;
        faces int64 (256, 6): picture number by block and face (-x, +x, -y, +y, -z, +z).
    """
    pictures: dict[str, Picture] = {}
    faces = np.zeros((256, 6), np.int64)
    for name, number in BLOCK.items():
        if name == "air":
            continue
        side, top, bottom = _block(name, np.random.default_rng([7, number]))
        for kind, picture in (("side", side), ("top", top), ("bottom", bottom)):
            pictures[f"{name}/{kind}"] = picture
        first = len(pictures) - 3
        faces[number] = (first, first, first + 2, first + 1, first, first)
    texels = np.stack([_mips(p) for p in pictures.values()])
    return texels, faces


def _mips(picture: Picture) -> NDArray[np.uint8]:
    levels = [picture]
    while levels[-1].shape[0] > 1:
        p = levels[-1]
        levels.append((p[::2, ::2] + p[1::2, ::2] + p[::2, 1::2] + p[1::2, 1::2]) / 4)
    flat = np.concatenate([p.reshape(-1, 3) for p in levels])
    return np.clip(np.rint(flat), 0, 255).astype(np.uint8)


def _flat(colour: tuple[float, ...]) -> Picture:
    return np.broadcast_to(np.array(colour, np.float64), (SIDE, SIDE, 3)).copy()


def _grain(
    rng: np.random.Generator, colour: tuple[float, ...], fine: float = 0.025, coarse: float = 0.04
) -> Picture:
    """A colour with fine and coarse noise, given as parts of its brightness."""
    noise = fine * rng.standard_normal((SIDE, SIDE)) + coarse * np.kron(
        rng.standard_normal((4, 4)), np.ones((4, 4))
    )
    return _flat(colour) * (1 + noise[..., None])


def _darken(picture: Picture, mask: NDArray[np.bool_], factor: float) -> Picture:
    out = picture.copy()
    out[mask] *= factor
    return out


def _rim(picture: Picture, factor: float = 0.86) -> Picture:
    return _darken(picture, (ROW == SIDE - 1) | (COL == 0), factor)


def _planks(rng: np.random.Generator, colour: tuple[float, ...]) -> Picture:
    shade = np.repeat(1 + 0.07 * rng.standard_normal(4), 4)
    seams = (ROW % 4 == 3) | ((COL == 5) & (ROW // 4 % 2 == 0)) | ((COL == 12) & (ROW // 4 % 2 == 1))
    return _darken(_grain(rng, colour, 0.02, 0.0) * shade[:, None, None], seams, 0.72)


def _bricks(rng: np.random.Generator, colour: tuple[float, ...], mortar: tuple[float, ...]) -> Picture:
    joint = (ROW % 4 == 3) | ((COL + 4 * (ROW // 4 % 2)) % 8 == 7)
    out = _grain(rng, colour, 0.02, 0.05)
    out[joint] = mortar
    return out


def _cobble(rng: np.random.Generator) -> Picture:
    centres = rng.uniform(0, SIDE, (11, 2))
    gap = np.abs(np.stack([ROW, COL], -1)[:, :, None] - centres)  # (16, 16, 11, 2)
    gap = np.minimum(gap, SIDE - gap)
    near = np.sort(np.hypot(gap[..., 0], gap[..., 1]), axis=-1)
    return _darken(_grain(rng, (132, 130, 128), 0.02, 0.05), near[..., 1] - near[..., 0] < 1.1, 0.72)


def _leaves(rng: np.random.Generator, colour: tuple[float, ...]) -> Picture:
    blobs = np.kron(rng.standard_normal((8, 8)), np.ones((2, 2)))
    return _grain(rng, colour, 0.03, 0.05) * (1 + 0.09 * blobs[..., None])


def _log(rng: np.random.Generator, bark: tuple[float, ...], birch: bool) -> tuple[Picture, Picture, Picture]:
    side = _grain(rng, bark, 0.02, 0.0) * (1 + 0.09 * rng.standard_normal(SIDE))[None, :, None]
    if birch:
        for _ in range(7):
            row, col = rng.integers(0, SIDE), rng.integers(0, SIDE - 4)
            side[row, col : col + 4] = (70, 66, 60)
    rings = np.hypot(ROW - 7.5, COL - 7.5)
    end = _darken(_flat((184, 150, 96)), (rings % 3 < 1), 0.84)
    end[rings > 7] = bark
    return side, end, end


def _window(rng: np.random.Generator) -> Picture:
    out = _grain(rng, (120, 172, 206), 0.01, 0.02)
    out[(ROW + COL) % 16 < 3] = (168, 208, 228)
    out[(ROW < 1) | (ROW > 14) | (COL < 1) | (COL > 14) | (ROW == 8) | (COL == 8)] = (232, 228, 216)
    return out


def _bookshelf(rng: np.random.Generator) -> Picture:
    out = _flat((150, 112, 66))
    spines = np.array(
        [(150, 50, 44), (50, 76, 140), (70, 116, 60), (196, 164, 70), (110, 62, 120)], np.float64
    )
    for top in (2, 9):
        for col in range(1, 15, 2):
            out[top : top + 5, col : col + 2] = spines[rng.integers(len(spines))] * rng.uniform(0.85, 1.1)
    return out


def _sign(number: int) -> Picture:
    """Twelve pictures, each with its own ground, figure and shape, that differ at four pixels across too."""
    names = list(COLOURS)
    pairs = (
        ("white", "red"), ("yellow", "black"), ("blue", "white"), ("red", "yellow"), ("black", "cyan"),
        ("green", "white"), ("pink", "purple"), ("orange", "blue"), ("cyan", "red"), ("purple", "yellow"),
        ("white", "green"), ("black", "orange"),
    )  # fmt: skip
    assert len(pairs) == PICTURES and all(a in names and b in names for a, b in pairs)
    y, x = ROW - 7.5, COL - 7.5
    shapes: tuple[Callable[[], NDArray[np.bool_]], ...] = (
        lambda: np.hypot(x, y) < 5.2,  # disc
        lambda: (np.abs(x - y) < 2.2) | (np.abs(x + y) < 2.2),  # cross
        lambda: (np.abs(x) < 2) | (np.abs(y) < 2),  # plus
        lambda: (y > -5) & (y < 5) & (np.abs(x) < (y + 6) / 2),  # triangle
        lambda: (np.hypot(x, y) < 6) & (np.hypot(x, y) > 3),  # ring
        lambda: (np.abs(y) < 1.6) & (x < 4) | (np.abs(x - 2) + np.abs(y) < 5) & (x > 1),  # arrow
        lambda: np.abs(x) + np.abs(y) < 6,  # diamond
        lambda: (COL // 4) % 2 == 0,  # upright bars
        lambda: (ROW // 4) % 2 == 0,  # level bars
        lambda: (ROW // 8 + COL // 8) % 2 == 0,  # quarters
        lambda: y > x,  # halves
        lambda: (np.hypot(np.abs(x) - 3.5, y + 3) < 1.7) | ((np.abs(x) < 5) & (y > 2) & (y < 5)),  # face
    )
    ground, figure = pairs[number]
    out = _flat(COLOURS[ground])
    out[shapes[number]()] = COLOURS[figure]
    out[(ROW < 1) | (ROW > 14) | (COL < 1) | (COL > 14)] = (92, 68, 44)
    return out


def _block(name: str, rng: np.random.Generator) -> tuple[Picture, Picture, Picture]:
    """The pictures of the four sides, the top and the bottom."""
    if name.endswith("_wool"):
        wave = 1 + 0.03 * np.sin((ROW + 2 * (COL % 2)) * np.pi / 2)[..., None]
        one = _rim(_grain(rng, COLOURS[name.removesuffix("_wool")], 0.012, 0.015) * wave)
        return one, one, one
    if name.startswith("sign_"):
        board = _planks(rng, (150, 112, 66))
        return _sign(int(name.removeprefix("sign_"))), board, board
    if name.endswith("log"):
        birch = name.startswith("birch")
        return _log(rng, (206, 202, 192) if birch else (104, 80, 50), birch)
    dirt = _grain(rng, (134, 98, 68), 0.03, 0.05)
    if name == "grass":
        top = _grain(rng, (108, 158, 66), 0.03, 0.045)
        side = dirt.copy()
        fringe = 3 + rng.integers(0, 3, SIDE)
        side[fringe[None, :] > ROW] = top[fringe[None, :] > ROW] * 0.95
        return side, top, dirt
    if name == "bookshelf":
        board = _planks(rng, (166, 128, 78))
        return _bookshelf(rng), board, board
    if name == "sandstone":
        side = _grain(rng, (214, 198, 146), 0.02, 0.02)
        side = _darken(side, (ROW == 4) | (ROW == 15) | ((ROW == 10) & (COL % 8 < 6)), 0.86)
        smooth = _rim(_grain(rng, (220, 206, 156), 0.02, 0.02))
        return side, smooth, smooth
    makers: dict[str, Callable[[], Picture]] = {
        "water": lambda: _grain(rng, (62, 104, 178), 0.01, 0.05),
        "dirt": lambda: dirt,
        "stone": lambda: _darken(
            _grain(rng, (128, 128, 130), 0.025, 0.05), (ROW % 8 == 7) & (COL % 11 < 6), 0.88
        ),
        "sand": lambda: _grain(rng, (218, 206, 158), 0.025, 0.025),
        "snow": lambda: _grain(rng, (238, 242, 248), 0.01, 0.015),
        "gravel": lambda: _grain(rng, (158, 146, 132), 0.05, 0.06),
        "bedrock": lambda: _grain(rng, (66, 66, 68), 0.05, 0.2),
        "planks": lambda: _planks(rng, (178, 140, 86)),
        "dark_planks": lambda: _planks(rng, (98, 68, 42)),
        "brick": lambda: _bricks(rng, (158, 88, 72), (186, 176, 164)),
        "cobble": lambda: _cobble(rng),
        "quartz": lambda: _rim(_grain(rng, (232, 226, 216), 0.01, 0.015), 0.88),
        "glass": lambda: _window(rng),
        "leaves": lambda: _leaves(rng, (70, 118, 44)),
        "birch_leaves": lambda: _leaves(rng, (128, 160, 66)),
        "autumn_leaves": lambda: _leaves(rng, (204, 112, 48)),
        "dark_leaves": lambda: _leaves(rng, (46, 84, 56)),
        "lamp": lambda: _rim(_grain(rng, (250, 226, 150), 0.01, 0.05), 0.7),
    }
    assert name in makers, f"no picture for {name}; blocks are {NAMES}"
    one = makers[name]()
    return one, one, one
