"""Views in which nothing is to be seen: a plain under a sky, or a wall from near.

A dream that has lost its place often ends there. No network asks for this, and confetti never has such views, so the
share of them says where a dream has gone, beside that of true worlds, and never that one is good.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.metrics.bootstrap import interval

CELLS = 8
"""Squares of a picture each way whose mean colours are compared."""
BARE = 12.0
"""Standard deviation of them along a line, of 255, below which nothing stands there: of true roaming views of Blocks
that is one in 25."""


def bare(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether each of some pictures (..., H, W, 3) is alike from its left to its right; H and W are multiples of 8."""
    *some, h, w, colours = frames.shape
    squares = frames.reshape(*some, CELLS, h // CELLS, CELLS, w // CELLS, colours).mean((-4, -2), np.float32)
    return np.asarray(squares.std(-2).mean((-2, -1)) < BARE)


def bare_shares(frames: NDArray[np.uint8], stretches: tuple[tuple[int, int], ...]) -> dict[str, Any]:
    """Of S walks (S, T, H, W, 3), the share of such views in each stretch of frames and in all, with intervals over
    walks."""
    found = bare(frames).astype(np.float64)
    parts = {f"{a}-{b}": found[:, a:b] for a, b in stretches}
    return {name: interval([list(walk) for walk in part]) for name, part in (parts | {"all": found}).items()}
