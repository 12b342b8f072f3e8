"""Distances of a few samples to one large set, as often as seeds are left out: prepared once, then cheap.

Fréchet distances are those of :func:`worldsim.metrics.frechet.frechet_distance`, whose square roots would be found anew
each time; precision and recall those of Kynkäänniemi et al. 2019, with neighbours of other walks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim.metrics.frechet import fit

Array = NDArray[np.float64]
Kept = NDArray[np.bool_]
Whose = NDArray[np.intp]
"""Which walk each sample is of."""
Score = Callable[[Kept], float]
"""The score of those samples, (n,) bool, that are kept."""


class Frechet:
    """Fréchet distances to the Gaussian of a reference (m, D)."""

    def __init__(self, reference: Array) -> None:
        self._to = fit(reference)

    def of(self, samples: Array) -> Score:
        """The distance of samples (n, D), at least 2 of them.

        The trace of (S_a S_b)^(1/2) is the sum of the square roots of the eigenvalues of X S_b X^T / (n - 1), X the
        centred samples: n x n, where the covariances are D x D.
        """
        x = samples - self._to.mean
        inner, across = x @ x.T, x @ self._to.covariance @ x.T
        spread = float(np.trace(self._to.covariance))

        def score(kept: Kept) -> float:
            k, s = inner[np.ix_(kept, kept)], across[np.ix_(kept, kept)]
            n = len(k)
            spread_within = (np.trace(k) - k.mean() * n) / (n - 1)
            values = np.linalg.eigvalsh(_centred(s)) / (n - 1)
            return max(0.0, float(k.mean() + spread_within + spread - 2 * np.sqrt(values.clip(0)).sum()))

        return score


class Neighbours:
    """Precision, recall and coverage against a reference (m, D), by the ``k``-th nearest neighbours.

    The measures were made for samples that know nothing of each other. Frames of one walk do: their nearest neighbours
    are what was seen a moment before, and a ball that reaches only there holds no other place of the same world. So a
    ball reaches to the k-th nearest sample of *other* walks; ``walks`` (m,) says whose each is.

    *Coverage* (Naeem et al. 2020) is the share of the reference's balls in which a sample lies. Recall takes the balls
    of the samples, and one far from all others has a ball that holds much of the world; coverage does not have that.
    """

    def __init__(self, reference: Array, walks: Whose, k: int) -> None:
        self._reference, self._k = _tensor(reference), k
        self._radii = _radii(_apart(self._reference, self._reference), walks, k)

    def of(self, samples: Array, walks: Whose) -> tuple[Score, Score, Score]:
        """Precision, recall and coverage of samples (n, D) of ``walks`` (n,), more than k of them in any two walks."""
        x = _tensor(samples)
        to_reference, among = _apart(x, self._reference), _apart(x, x)
        within = (to_reference <= self._radii).numpy()

        def precision(kept: Kept) -> float:
            return float(within[kept].any(1).mean())

        def recall(kept: Kept) -> float:
            rows = torch.from_numpy(np.flatnonzero(kept))
            radii = _radii(among[rows][:, rows], walks[kept], self._k)
            return float((to_reference[rows] <= radii[:, None]).any(0).float().mean())

        def coverage(kept: Kept) -> float:
            return float(within[kept].any(0).mean())

        return precision, recall, coverage


def _centred(x: Array) -> Array:
    return np.asarray(x - x.mean(0) - x.mean(1)[:, None] + x.mean())


def _tensor(x: Array) -> Tensor:
    return torch.from_numpy(x.astype(np.float32))


def _apart(a: Tensor, b: Tensor) -> Tensor:
    return torch.cat(
        [torch.cdist(part, b, compute_mode="donot_use_mm_for_euclid_dist") for part in a.split(256)]
    )


def _radii(apart: Tensor, walks: Whose, k: int) -> Tensor:
    """How far the k-th nearest of other walks is: distances (n, n) to (n,)."""
    same = torch.from_numpy(walks[:, None] == walks[None])
    return apart.masked_fill(same, torch.inf).kthvalue(k, dim=1).values
