"""Pictures in equal parts, each a row of numbers: what a linear map of a part of a picture reads and makes."""

from __future__ import annotations

from torch import Tensor


def parts_of(frames: Tensor, part: tuple[int, int]) -> Tensor:
    """Frames (N, 3, H, W) in parts of height and width ``part``, row by row, (N, P, 3 h w)."""
    (height, width), rows = part, frames.shape[2] // part[0]
    parts = frames.unflatten(3, (-1, width)).unflatten(2, (rows, height))  # (N, 3, rows, h, columns, w)
    return parts.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def from_parts(parts: Tensor, part: tuple[int, int], rows: int) -> Tensor:
    """What :func:`parts_of` took apart, whole."""
    parts = parts.unflatten(2, (3, *part)).unflatten(1, (rows, -1))  # (N, rows, columns, 3, h, w)
    return parts.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
