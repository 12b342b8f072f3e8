"""Contact sheets of walks: one row a seed, what was true last and then every 20th frame."""

from __future__ import annotations

import numpy as np

from training.imagination.play import Frames, Walk

EVERY = 20
GAP = 2  # pixels between two sheets


def sheet(contexts: list[Walk], walks: Frames) -> Frames:
    """The last frame of each context, then frames 20, 40, ... of its walk: (n H, (1 + T // 20) W, 3)."""
    rows = [
        np.concatenate([context.frames[-1], *walk[EVERY - 1 :: EVERY]], 1)
        for context, walk in zip(contexts, walks, strict=True)
    ]
    return np.concatenate(rows)


def stacked(sheets: list[Frames]) -> Frames:
    """Sheets below each other, a white line between them."""
    line = np.full((GAP, *sheets[0].shape[1:]), 255, np.uint8)
    parts = [part for one in sheets for part in (one, line)]
    return np.concatenate(parts[:-1])
