"""Moments that walks seldom hold, found in them: ways out of a view that is all one thing.

Whoever learns from walks as they are learns that before a wall there is more wall.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.data.walks import Walks

PLAIN, OPEN = 0.8, 0.9
"""Contrast of a frame that is all one thing, and of one that is not, over the walks' mean."""
BEFORE, AFTER = 3, 6
"""Frames that are plain before a way out, and within which one is open after it."""

Moments = dict[tuple[int, int], NDArray[np.int64]]
"""Of episodes, by shard and place in it, the frames at which something happens; those without any are left out."""


def exits(walks: Sequence[Walks], episodes: Sequence[tuple[int, int]]) -> Moments:
    """First frames that are no longer plain, of those that become open soon."""
    contrasts = {}
    for shard, episode in episodes:
        latents = np.asarray(walks[shard].latents[episode], np.float32)
        contrasts[shard, episode] = latents.std((2, 3)).mean(1)
    mean = float(np.mean([c.mean() for c in contrasts.values()]))
    found = {}
    for key, contrast in contrasts.items():
        plain = (
            np.convolve(contrast < PLAIN * mean, np.ones(BEFORE), "valid") == BEFORE
        )  # frames i .. i + BEFORE
        is_open = np.convolve(contrast > OPEN * mean, np.ones(AFTER), "valid") > 0
        ends = np.arange(BEFORE, len(contrast) - AFTER + 1)  # the first frame after as many plain ones
        left = plain[ends - BEFORE] & (contrast[ends] >= PLAIN * mean) & is_open[ends]
        found[key] = ends[left]
    return {k: v for k, v in found.items() if len(v)}
