"""Scores of free running: how far the frames of all episodes lie from true ones, stretch by stretch.

Fréchet distance, precision and coverage in EfficientNet's features against all true frames of the suite's episodes. A
distance belongs to a set and not to an episode; by leaving out each episode in turn every one has a share (its
jackknife pseudo-value), which is what intervals and differences are taken of.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.imagination.config import STRETCHES
from training.imagination.distances import Frechet, Neighbours, Whose

LEAST = 3
"""Episodes that a set needs."""
NEIGHBOURS = 5
"""Of other episodes, as Naeem et al. (2020) have it; see :class:`training.imagination.distances.Neighbours`."""
HIGHER = {"fd": False, "precision": True, "coverage": True}

Array = NDArray[np.float64]


def scores(features: dict[str, Array], reference: list[Array]) -> dict[str, Any]:
    """Scores of a model's episodes.

    Args:
        features: by episode (stretches, frames, D).
        reference: those of true episodes.

    Returns:
        ``summary``, by key ``{"mean", "low", "high", "n", "episodes"}``, and ``values``, by episode and key its share;
        both empty for fewer than ``LEAST`` episodes.
    """
    from worldsim.metrics.bootstrap import interval

    if len(features) < LEAST or len(reference) < LEAST:
        return {"summary": {}, "values": {}}
    ids, all_of = list(features), np.stack(list(features.values()))
    true = np.concatenate([r.reshape(-1, r.shape[-1]) for r in reference])
    walks = np.repeat(np.arange(len(reference)), [r.shape[0] * r.shape[1] for r in reference])
    summary: dict[str, Any] = {}
    values: dict[str, dict[str, list[float]]] = {i: {} for i in ids}
    for score, (whole, without) in _table(all_of, true, walks).items():
        names = [f"{score} {a}-{b}" for a, b in STRETCHES[: all_of.shape[1]]]
        worst = np.max if not HIGHER[score] else np.min
        columns = {name: (whole[k], without[:, k]) for k, name in enumerate(names)}
        columns[f"{score} worst"] = (worst(whole), worst(without, axis=1))
        for name, (value, left_out) in columns.items():
            n = len(ids)
            shares = n * value - (n - 1) * left_out
            for i, share in zip(ids, shares, strict=True):
                values[i][name] = [round(float(share), 4)]
            found = interval([[float(s)] for s in shares])
            off = float(value) - found["mean"]
            summary[name] = found | {
                "mean": round(float(value), 4),
                "low": round(found["low"] + off, 4),
                "high": round(found["high"] + off, 4),
            }
    return {"summary": summary, "values": values}


def _table(episodes: Array, true: Array, walks: Whose) -> dict[str, tuple[Array, Array]]:
    """Of each score the stretches (S,), and the same without each episode in turn (N, S)."""
    n, count, each, _ = episodes.shape
    frechet, near = Frechet(true), Neighbours(true, walks, NEIGHBOURS)
    found: dict[str, tuple[Array, Array]] = {s: (np.empty(count), np.empty((n, count))) for s in HIGHER}
    whose = np.repeat(np.arange(n), each)
    for k in range(count):
        samples = episodes[:, k].reshape(n * each, -1)
        precision, _, coverage = near.of(samples, whose)
        for score, of in (("fd", frechet.of(samples)), ("precision", precision), ("coverage", coverage)):
            found[score][0][k] = of(whose >= 0)
            found[score][1][:, k] = [of(whose != i) for i in range(n)]
    return found
