"""Temporal degradation: how the frames of a long rollout get worse, segment by segment (paper, section 6.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

SEGMENT = 16  # frames
LONGEST = 128  # frames of a rollout: eight segments


class DegradationError(ValueError):
    """A rollout without a whole segment, or scores that cannot be normalised."""


def segments(frames: int, length: int = SEGMENT) -> list[tuple[int, int]]:
    """The whole segments of a rollout, half open: (0, 16), (16, 32), ...; a rest that fills none is left out.

    Raises:
        DegradationError: not even one segment.
    """
    if length < 1 or frames < length:
        raise DegradationError(f"expected a rollout of at least {length} frames (>= 1), found {frames}")
    return [(first, first + length) for first in range(0, frames - length + 1, length)]


def names(frames: int, length: int = SEGMENT) -> tuple[str, ...]:
    """What the segments are called in the tables: "0-16", "16-32", ..."""
    return tuple(f"{first}-{end}" for first, end in segments(frames, length))


def by_segment(values: ArrayLike, length: int = SEGMENT) -> NDArray[np.float64]:
    """Mean of a score that every frame has (PSNR, SSIM) in each segment: (..., T) to (..., T // length)."""
    scores = np.asarray(values, float)
    parts = [
        scores[..., first:end].mean(-1)
        for first, end in segments(scores.shape[-1] if scores.ndim else 0, length)
    ]
    return np.stack(parts, -1)


def normalised(scores: ArrayLike) -> NDArray[np.float64]:
    """Scores (..., K) in percent of their first segment, as in Figure 9: frames 0-16 are 100%.

    A score where more is better (PSNR, SSIM, SRR) falls below 100, one where less is better (a Fréchet distance)
    rises above it. To normalise means over runs, take the mean first: a ratio of means is not a mean of ratios.

    Raises:
        DegradationError: a first segment that is not above 0, where percent say nothing.
    """
    values = np.asarray(scores, float)
    first = values[..., :1]
    if not (first > 0).all():
        raise DegradationError(f"expected a score above 0 in the first segment, found {first.min():g}")
    return values / first * 100


def maximum_decay(scores: ArrayLike) -> NDArray[np.float64]:
    """How far a score (..., K) falls at most below its first segment, in its own units (dB), at least 0: (...).

    The vertical axis of Figure 11. The paper refers to Table 4 without a formula; there every row falls to its last
    segment, so that this is the first less the last.
    """
    values = np.asarray(scores, float)
    return np.asarray(values[..., 0] - values.min(-1))


@dataclass(frozen=True)
class OverSeeds:
    """A row of Table 4: mean and spread of each segment over independent runs.

    Attributes:
        mean, spread: (K,); the spread is the sample standard deviation (n - 1) over runs, NaN of a single run. It is
            no interval of the mean; for that see ``worldsim.metrics.bootstrap``.
        n: runs.
    """

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    n: int

    def cells(self, digits: int = 2) -> list[str]:
        """``10.24 ± 0.11`` of each segment, the mean alone where there is one run."""
        rows = zip(self.mean, self.spread, strict=True)
        return [f"{m:.{digits}f}" + (f" ± {s:.{digits}f}" if self.n > 1 else "") for m, s in rows]


def over_seeds(runs: ArrayLike) -> OverSeeds:
    """Mean and spread of runs (n, K) of different seeds, K segments each.

    Raises:
        DegradationError: no run.
    """
    values = np.asarray(runs, float)
    if values.ndim != 2 or not len(values):
        raise DegradationError(f"expected scores of shape (runs, segments), found {values.shape}")
    spread = values.std(0, ddof=1) if len(values) > 1 else np.full(values.shape[1], np.nan)
    return OverSeeds(values.mean(0), spread, len(values))
