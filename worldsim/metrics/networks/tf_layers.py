"""What networks trained in TensorFlow need in torch: SAME padding, and batch norm folded into its convolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """How much TensorFlow's SAME adds before and after an axis: ceil(size / stride) places come out.

    Where the sum is odd, the larger half is behind; torch's ``padding`` adds the same on both sides.
    """
    total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    return total // 2, total - total // 2


def pad_same(x: Tensor, kernel: Sequence[int], stride: Sequence[int], value: float = 0.0) -> Tensor:
    """``x`` (n, C, *axes) padded as SAME has it for one kernel and stride an axis."""
    sides = [same_padding(*axis) for axis in zip(x.shape[2:], kernel, stride, strict=True)]
    flat = [side for pair in reversed(sides) for side in pair]  # torch begins at the last axis
    return F.pad(x, flat, value=value) if any(flat) else x


def folded(weight: Tensor, norm: Sequence[Tensor], epsilon: float = 1e-3) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one convolution that is a convolution without bias, then batch norm.

    Args:
        weight: (out, in, ...).
        norm: mean, variance, bias and, where it is not 1, scale, (out,) each.
        epsilon: TensorFlow's 1e-3.
    """
    mean, var, bias, *scale = norm
    factor = torch.rsqrt(var + epsilon) * (scale[0] if scale else 1.0)
    return weight * factor.view(-1, *[1] * (weight.ndim - 1)), bias - mean * factor
