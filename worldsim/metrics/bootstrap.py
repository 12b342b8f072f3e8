"""How sure a mean is: bootstrap intervals over groups of values that belong together."""

from __future__ import annotations

from typing import Any

import numpy as np

DRAWS = 1000
COVERAGE = 0.95


def interval(groups: list[list[float]], seed: int = 0) -> dict[str, Any]:
    """Mean of all values with a 95% percentile bootstrap interval over groups (episodes).

    Frames of one episode are no independent trials: whole groups are drawn with replacement, each with all of its
    values, so that the interval is as wide as the number of groups allows. Empty groups do not count.

    Args:
        groups: the values of each group.
        seed: of the draws; the same groups and seed give the same interval.

    Returns:
        ``mean``, ``low`` and ``high``, rounded to 4 places, None where there is no value; ``n`` values in
        ``episodes`` groups.
    """
    groups = [g for g in groups if g]
    values = [v for g in groups for v in g]
    if not values:
        return {"mean": None, "low": None, "high": None, "n": 0, "episodes": 0}
    rng = np.random.default_rng(seed)
    sums, counts = np.array([sum(g) for g in groups]), np.array([len(g) for g in groups])
    draws = rng.integers(len(groups), size=(DRAWS, len(groups)))
    means = sums[draws].sum(1) / counts[draws].sum(1)
    low, high = np.quantile(means, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    rounded = [round(float(x), 4) for x in (np.mean(values), low, high)]
    return dict(zip(("mean", "low", "high"), rounded, strict=True)) | {
        "n": len(values),
        "episodes": len(groups),
    }
