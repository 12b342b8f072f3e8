"""Seeds of any size for random generators that take 63 bits."""

from __future__ import annotations

import numpy as np


def generator_seed(seed: int) -> int:
    """A seed that torch takes; a larger one is folded."""
    if seed < 2**63:
        return seed
    return int(np.random.SeedSequence(seed).generate_state(1)[0])
