"""Which past frames R_i an autoregressive step may see: pure functions of the next frame's index (Algorithm 1)."""

from __future__ import annotations


def last(i: int, count: int) -> list[int]:
    """The ``count`` frames before frame i, oldest first; fewer at the start."""
    return list(range(max(0, i - count), i))


def anchors_and_last(i: int, anchors: int, count: int) -> list[int]:
    """The first ``anchors`` frames of all and the last ``count`` (StreamingT2V, ART-V)."""
    return sorted({*range(min(anchors, i)), *last(i, count)})


def strided(i: int, count: int, stride: int) -> list[int]:
    """Every ``stride``-th frame back from i - 1, ``count`` of them at most, oldest first (Table 3)."""
    return list(range(i - 1, -1, -stride))[:count][::-1]
