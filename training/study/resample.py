"""How sure a number is that no plain mean gives: resampling whole episodes.

``worldsim.metrics.bootstrap`` does the same for means; here are a mean of means and any function of episodes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from worldsim.metrics.bootstrap import COVERAGE, DRAWS

E = TypeVar("E")
SIGMAS = 1.96  # of a normal distribution, for 95%


def mean_of_means(episodes: Sequence[Sequence[Sequence[float]]], seed: int = 0) -> dict[str, Any]:
    """The mean over parts of each part's mean, with a 95% percentile bootstrap interval over episodes.

    Args:
        episodes: of each episode, the values of each part (an age range). A draw in which a part has no value is left
            out; where a part has none at all, there is no mean.
    """
    sums = np.array([[sum(part) for part in parts] for parts in episodes], float)  # (episodes, parts)
    counts = np.array([[len(part) for part in parts] for parts in episodes], float)
    if not len(episodes) or not counts.sum(0).all():
        return {"mean": None, "low": None, "high": None, "episodes": len(episodes)}
    draws = np.random.default_rng(seed).integers(len(episodes), size=(DRAWS, len(episodes)))
    with np.errstate(invalid="ignore"):
        means = (sums[draws].sum(1) / counts[draws].sum(1)).mean(1)
    low, high = np.nanquantile(means, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return _rounded(float((sums.sum(0) / counts.sum(0)).mean()), float(low), float(high), len(episodes))


def jackknife(episodes: Sequence[E], statistic: Callable[[Sequence[E]], float]) -> dict[str, Any]:
    """The statistic with a 95% interval of 1.96 jackknife standard errors over episodes (Efron and Stein 1981).

    For Fréchet distances: a bootstrap draw repeats episodes, fewer different samples widen the distance, and its
    percentiles would lie above the number they are for. Leaving one episode out changes the sample size but little.
    """
    if not episodes:
        return {"mean": None, "low": None, "high": None, "episodes": 0}
    value, n = statistic(episodes), len(episodes)
    if n < 2:
        return {**_rounded(value, value, value, n), "low": None, "high": None}
    left = np.array([statistic([e for j, e in enumerate(episodes) if j != i]) for i in range(n)])
    error = float(np.sqrt((n - 1) / n * ((left - left.mean()) ** 2).sum()))
    return _rounded(value, value - SIGMAS * error, value + SIGMAS * error, n)


def _rounded(value: float, low: float, high: float, episodes: int) -> dict[str, Any]:
    return {"mean": round(value, 4), "low": round(low, 4), "high": round(high, 4), "episodes": episodes}
