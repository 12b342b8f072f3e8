"""Precision and recall of generated samples by nearest neighbours (Kynkäänniemi et al. 2019).

Every sample of a set has a ball that reaches to its k-th nearest neighbour of the same set; together the balls are what
the set may look like. *Precision* is the share of dreamt samples within the true set's balls (does it look like the
world?), *recall* the share of true ones within the dreamt set's (is all of the world dreamt of?). Both depend on n, k
and the features: compare them only of equal ones.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

CHUNK = 256  # rows whose distances to all others are held at once
ROUNDING = 1e-10  # of the squared lengths of two samples, in their squared distance


class PrecisionRecallError(ValueError):
    """Too few samples, or samples that do not belong together."""


@torch.inference_mode()
def precision_recall(true_features: ArrayLike, dreamt_features: ArrayLike, k: int = 3) -> tuple[float, float]:
    """Precision and recall of dreamt features (m, D) against true ones (n, D), each 0 to 1.

    Distances are Euclidean, of products in double precision around the true mean; samples nearer to a ball's edge than
    rounding can tell lie within it, so that copies of a sample do.

    Args:
        k: which neighbour a ball reaches to; the paper's 3.

    Raises:
        PrecisionRecallError: no more than k samples of either, features of different D, or not finite.
    """
    true, dreamt = (
        torch.from_numpy(np.ascontiguousarray(x, float)) for x in (true_features, dreamt_features)
    )
    if true.ndim != 2 or dreamt.ndim != 2 or true.shape[1:] != dreamt.shape[1:]:
        raise PrecisionRecallError(
            f"expected features (n, D) of one D, found {tuple(true.shape)} and {tuple(dreamt.shape)}"
        )
    if not 1 <= k < min(len(true), len(dreamt)):
        raise PrecisionRecallError(
            f"expected k of at least 1 and more than k samples of each, found k={k}, {len(true)} and {len(dreamt)}"
        )
    if not (true.isfinite().all() and dreamt.isfinite().all()):
        raise PrecisionRecallError("expected finite features, found NaN or infinity")
    middle = true.mean(0)
    true, dreamt = true - middle, dreamt - middle
    true_radii, dreamt_radii = _squared_radii(true, k), _squared_radii(dreamt, k)
    within, covered = [], torch.zeros(len(true), dtype=torch.bool)
    for i in range(0, len(dreamt), CHUNK):
        rows = slice(i, i + CHUNK)
        away, rounding = _squared_distances(dreamt[rows], true)
        within.append((away <= true_radii + rounding).any(1))
        covered |= (away <= dreamt_radii[rows, None] + rounding).any(0)
    return float(torch.cat(within).double().mean()), float(covered.double().mean())


def _squared_distances(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Of each to each, (len(a), len(b)), and how much of it may be rounding."""
    lengths = a.square().sum(1)[:, None] + b.square().sum(1)
    return lengths - 2 * a @ b.T, ROUNDING * lengths


def _squared_radii(x: Tensor, k: int) -> Tensor:
    """How far each sample's k-th nearest neighbour is, itself not counted, squared: (n,)."""
    found = []
    for i in range(0, len(x), CHUNK):
        away, _ = _squared_distances(x[i : i + CHUNK], x)
        diagonal = torch.arange(len(away))
        away[diagonal, diagonal + i] = torch.inf
        found.append(away.kthvalue(k, dim=1).values)
    return torch.cat(found)
