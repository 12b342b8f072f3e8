"""Conditional mutual information on small discrete worlds, and why none can do without it (Theorem 2), in bits.

A joint distribution of X (past), Y (input) and Z (output) is a table p[x, y, z] that sums to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Table = NDArray[np.float64]


class InformationError(ValueError):
    """Something that is no distribution, or samples that do not belong together."""


def conditional_mutual_information(table: ArrayLike) -> float:
    """I(X; Z | Y) in bits, of a joint table p[x, y, z].

    Raises:
        InformationError: the table has not three axes, has a negative entry, or does not sum to 1.
    """
    p = np.asarray(table, float)
    if p.ndim != 3 or (p < 0).any() or not np.isclose(p.sum(), 1):
        raise InformationError(
            f"expected a table p[x, y, z] of probabilities that sum to 1, found shape {p.shape}, sum {p.sum():g}"
        )
    # H(X,Y) + H(Y,Z) - H(Y) - H(X,Y,Z); rounding may leave a few 1e-16 below zero
    information = entropy(p.sum(2)) + entropy(p.sum(0)) - entropy(p.sum((0, 2))) - entropy(p)
    return max(0.0, information)


def plug_in(x: ArrayLike, y: ArrayLike, z: ArrayLike) -> float:
    """Plug-in estimate of I(X; Z | Y) in bits from N samples: that of their empirical distribution.

    Consistent, and biased upwards by about (|X| - 1)(|Z| - 1)|Y| / (2 N ln 2) bits: give it many more samples
    than cells that can occur.

    Args:
        x, y, z: (N,) or (N, k), discrete; a row of k values is one symbol.

    Raises:
        InformationError: no samples, or not as many of one as of the others.
    """
    columns = [np.atleast_1d(np.asarray(values)) for values in (x, y, z)]
    if len({len(c) for c in columns}) != 1 or not len(columns[0]):
        raise InformationError(
            f"expected as many samples of x, y and z, and at least one, found {[len(c) for c in columns]}"
        )
    a, b, c = (_symbols(values) for values in columns)

    def counted(*parts: NDArray[np.int64]) -> float:
        # over cells that occur only: a table of all that could would not fit for long rows
        return entropy(np.unique(np.stack(parts, 1), axis=0, return_counts=True)[1] / len(a))

    return max(0.0, counted(a, b) + counted(b, c) - counted(b) - counted(a, b, c))


def condition_on(table: ArrayLike, f: ArrayLike) -> Table:
    """The table of (X, (Y, f(X)), Z): the input is given what ``f`` keeps of the past (Proposition 3).

    I(X; Z | Y, f(X)) never rises when f keeps more. Where f(X) says nothing of Z beyond Y, it stays (Fact 1).

    Args:
        table: p[x, y, z].
        f: (|X|,) the label from 0 that f gives each x.
    """
    p, labels = np.asarray(table, float), np.asarray(f, int)
    if p.ndim != 3 or labels.shape != p.shape[:1] or labels.min() < 0:
        raise InformationError(
            f"expected p[x, y, z] and a label from 0 for each x, found shapes {p.shape} and {labels.shape}"
        )
    given = np.zeros((p.shape[0], p.shape[1], labels.max() + 1, p.shape[2]))
    given[np.arange(len(labels)), :, labels] = p  # x's own label, the other cells cannot occur
    return given.reshape(p.shape[0], -1, p.shape[2])


def entropy(p: ArrayLike) -> float:
    """Shannon entropy in bits."""
    values = np.asarray(p, float).ravel()
    values = values[values > 0]
    return float(-(values * np.log2(values)).sum())


def kl(p: ArrayLike, q: ArrayLike) -> float:
    """KL(p || q) in bits; infinite where q misses something that p has."""
    a, b = np.asarray(p, float).ravel(), np.asarray(q, float).ravel()
    support = a > 0
    if (b[support] == 0).any():
        return float("inf")
    return float((a[support] * np.log2(a[support] / b[support])).sum())


def total_variation(p: ArrayLike, q: ArrayLike) -> float:
    """Half of the summed absolute difference, 0 to 1."""
    return float(np.abs(np.asarray(p, float) - np.asarray(q, float)).sum() / 2)


@dataclass(frozen=True)
class Indistinguishable:
    """Distributions that no data set of (X, Y) pairs and (Y, Z) pairs can tell apart (appendix C), tables p[x, y, z].

    ``independent`` is the paper's P_0 and ``copies`` its P_1, where Z is X but for a flip with probability
    ``flip``. ``mirrors`` is P_1 with Z turned over. All three have uniform pair marginals; the last two have
    I(X; Z | Y) = s.

    About the radius s^2 / 2 of Theorem 2: TV(P_0, P_1) is at least s / 2, so an estimate that is nearer to the wrong
    one is off by at least *half* of that, s / 4, and this pair alone proves s^2 / 8. At s = 1 the point midway
    between P_0 and P_1 does lie within s^2 / 2 of both. ``copies`` and ``mirrors`` are twice as far apart, and
    with this pair the theorem holds as it is printed.
    """

    flip: float
    independent: Table
    copies: Table
    mirrors: Table


def indistinguishable(s: float) -> Indistinguishable:
    """The construction of Theorem 2 for a conditional mutual information of s bits.

    Raises:
        InformationError: s is not between 0 and 1.
    """
    if not 0 <= s <= 1:
        raise InformationError(f"expected s between 0 and 1 bit, found {s}")
    low, high = 0.0, 0.5  # flip = H^-1(1 - s); H rises on [0, 1/2]
    for _ in range(100):
        flip = (low + high) / 2
        low, high = (flip, high) if entropy([flip, 1 - flip]) < 1 - s else (low, flip)
    pair = np.array([[1 - high, high], [high, 1 - high]]) / 2  # p[x, z]
    copies = np.repeat(pair[:, None] / 2, 2, axis=1)  # Y is a fair coin of its own
    return Indistinguishable(high, np.full((2, 2, 2), 1 / 8), copies, copies[:, :, ::-1])


def _symbols(rows: NDArray[np.generic]) -> NDArray[np.int64]:
    """(N,) or (N, k) to (N,): the number of each row among the rows that occur; a row may have no values."""
    if rows.size == 0:
        return np.zeros(len(rows), np.int64)
    return np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
