"""The kinds of block: their numbers, and which of them are solid."""

from __future__ import annotations

import numpy as np

COLOURS: dict[str, tuple[int, int, int]] = {
    "white": (226, 226, 222),
    "red": (182, 56, 50),
    "blue": (56, 82, 172),
    "yellow": (232, 196, 64),
    "green": (74, 128, 52),
    "purple": (128, 66, 170),
    "orange": (228, 128, 50),
    "cyan": (48, 152, 162),
    "black": (50, 48, 54),
    "pink": (228, 146, 172),
}
PICTURES = 12  # distinct sign pictures

NAMES: tuple[str, ...] = (
    "air", "water", "grass", "dirt", "stone", "sand", "snow", "gravel", "bedrock",
    "log", "birch_log", "planks", "dark_planks", "brick", "cobble", "sandstone", "quartz", "glass", "bookshelf",
    "leaves", "birch_leaves", "autumn_leaves", "dark_leaves", "lamp",
    *(f"{name}_wool" for name in COLOURS),
    *(f"sign_{i}" for i in range(PICTURES)),
)  # fmt: skip
BLOCK: dict[str, int] = {name: i for i, name in enumerate(NAMES)}

AIR = BLOCK["air"]
WATER = BLOCK["water"]
BEDROCK = BLOCK["bedrock"]
WOOLS: tuple[int, ...] = tuple(BLOCK[f"{name}_wool"] for name in COLOURS)
SIGNS: tuple[int, ...] = tuple(BLOCK[f"sign_{i}"] for i in range(PICTURES))
TREE_BLOCKS: tuple[int, ...] = tuple(i for n, i in BLOCK.items() if n.endswith(("log", "leaves")))

SOLID = np.ones(256, np.bool_)  # (256,) by block number: stops the player
SOLID[[AIR, WATER]] = False
TINTED = np.zeros(256, np.bool_)  # (256,) by block number: takes the hue of its region
TINTED[[BLOCK["grass"], BLOCK["leaves"], BLOCK["birch_leaves"], BLOCK["dark_leaves"]]] = True
