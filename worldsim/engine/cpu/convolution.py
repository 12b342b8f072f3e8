"""A 3x3 convolution over few cells with channels last, by the way that is fastest on this processor.

In single precision that is Winograd's. Where a processor multiplies whole tiles of bfloat16 (AMX), the plain sum of
products is faster than any way to save some of them, and more exact: Winograd's transforms enlarge what is rounded.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.engine.cpu.winograd import WinogradConv3x3
from worldsim.runtime import multiplies_tiles


class TiledConv3x3:
    """As :class:`.WinogradConv3x3`, multiplied in bfloat16 by oneDNN, for which the weight is laid out once."""

    def __init__(self, weight: Tensor, bias: Tensor, grid: tuple[int, int]) -> None:
        self.outside, self.inside = weight.shape[:2]
        self.bias = bias.detach().to(torch.bfloat16)
        short = weight.detach().to(torch.bfloat16).contiguous()
        ones = [1, 1]
        self.packed = torch.ops.mkldnn._reorder_convolution_weight(
            short, ones, ones, ones, 1, [1, self.inside, *grid]
        )

    def __call__(self, x: Tensor, silu: bool = False) -> Tensor:
        """The convolution of x (N, h, w, C), or of its SiLU: float32 (N, h, w, out)."""
        short = (F.silu(x) if silu else x).to(torch.bfloat16).permute(0, 3, 1, 2)
        ones = [1, 1]
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(
            short, self.packed, self.bias, ones, ones, ones, 1, "none", [], ""
        )
        return y.permute(0, 2, 3, 1).float()


Conv3x3 = WinogradConv3x3 | TiledConv3x3


def convolution(weight: Tensor, bias: Tensor, grid: tuple[int, int], products: torch.dtype) -> Conv3x3:
    """A convolution with a border of zeros of cells (N, h, w, C) with channels last.

    Args:
        weight: (out, C, 3, 3); bias: (out,); grid: rows and columns, both even.
        products: what is multiplied, torch.float32 or torch.bfloat16; what comes in and goes out is float32.
    """
    if products is torch.bfloat16 and torch.backends.mkldnn.is_available() and multiplies_tiles():
        return TiledConv3x3(weight, bias, grid)
    return WinogradConv3x3(weight, bias, grid, products)


def convolution_of(layer: nn.Module, grid: tuple[int, int], products: torch.dtype = torch.float32) -> Conv3x3:
    """The layer's own weights, copied."""
    assert isinstance(layer, nn.Conv2d)
    assert layer.kernel_size == (3, 3)
    assert layer.padding == (1, 1)
    bias = layer.weight.new_zeros(layer.out_channels) if layer.bias is None else layer.bias
    return convolution(layer.weight, bias, grid, products)


def rows_first(x: Tensor) -> Tensor:
    """What a pixel shuffle takes as (c, 2, 2) channels as (2, 2, c): the inner loop then copies whole pixels."""
    return x.unflatten(0, (-1, 2, 2)).permute(1, 2, 0, *range(3, x.dim() + 2)).flatten(0, 2)


def double(x: Tensor) -> Tensor:
    """A pixel shuffle of channels in the order of :func:`rows_first`: (N, h, w, 4 c) to (N, 2h, 2w, c)."""
    n, h, w, _ = x.shape
    y = x.view(n, h, w, 2, 2, -1).permute(0, 1, 3, 2, 4, 5)
    return y.reshape(n, 2 * h, 2 * w, -1)
