"""What AR-Diffusion's ablation says, row against row, by paired differences over the same clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.study.claims import LEAST, unjudged
from training.study.continuing import AHEAD
from worldsim.metrics.bootstrap import interval

COPYING = "copying"
"""The last given frame, as if it were a row."""
PAIRS = (
    *(
        ("whole", "-fopp"),
        ("-fopp", "-vae"),
        ("-fopp", "-causal"),
        ("-causal", "-x0"),
        ("-x0", "-non_decreasing"),
    ),
    *(("whole", row) for row in ("independent", "equal", "both_ways", "eps", "v")),
)
"""The better row by the paper, and the one that has a thing less; rows after `-vae` have the improved one again."""
Values = Mapping[str, Sequence[Sequence[float]]]
"""Of each score, the values of every episode's clips (:func:`training.study.continuing.per_clip`)."""


def claims(rows: Mapping[str, Sequence[Values]], copying: Values) -> list[dict[str, Any]]:
    """Each pair of :data:`PAIRS` that was run, and each row against copying, in SSIM at each distance.

    Args:
        rows: of each row, the values of every seed.

    Returns:
        ``better`` and ``worse`` (names), ``ahead`` (frames), ``difference`` (the mean over seeds with its interval over
        episodes), ``seeds`` (each seed's own difference) and ``verdict``.
    """
    pairs = [(a, b) for a, b in PAIRS if a in rows and b in rows] + [(name, COPYING) for name in rows]
    values = {**rows, COPYING: [copying]}
    return [
        _claim(a, b, ahead, values) for a, b in pairs for ahead in AHEAD if f"ssim_{ahead}" in values[a][0]
    ]


def _claim(better: str, worse: str, ahead: int, rows: Mapping[str, Sequence[Values]]) -> dict[str, Any]:
    one, other = ([seed[f"ssim_{ahead}"] for seed in rows[name]] for name in (better, worse))
    if worse == COPYING:
        other = other * len(one)
    seeds = min(len(one), len(other))
    differences = [[np.subtract(a, b) for a, b in zip(one[s], other[s], strict=True)] for s in range(seeds)]
    episodes = [np.mean(parts, 0).tolist() for parts in zip(*differences, strict=True)]
    difference = interval(episodes)
    each = [round(float(np.concatenate(parts).mean()), 4) for parts in differences]
    return {
        "better": better,
        "worse": worse,
        "ahead": ahead,
        "difference": difference,
        "seeds": each,
        "verdict": _verdict(difference, each),
    }


def _verdict(difference: dict[str, Any], seeds: list[float]) -> str:
    """Shown or contradicted where the interval leaves 0 out and every seed, of two or more, agrees."""
    if difference["episodes"] < LEAST:
        return unjudged(difference)
    if len(seeds) < 2:
        return "not judged: one seed"
    if difference["low"] > 0 and min(seeds) > 0:
        return "shown"
    return "contradicted" if difference["high"] < 0 and max(seeds) < 0 else "not told apart"
