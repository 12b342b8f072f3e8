"""Seeds of any size, for engines whose own are small."""

from __future__ import annotations

import numpy as np

LARGEST = 2**31
"""An engine's seeds are smaller."""


def engine_seed(seed: int) -> int:
    """A seed that every engine takes: the same one where it is small enough, else one that it determines."""
    if 0 <= seed < LARGEST:
        return seed
    return int(np.random.SeedSequence(seed).generate_state(1)[0]) % LARGEST
