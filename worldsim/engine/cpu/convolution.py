"""A 3x3 convolution over few cells with channels last, by the way that is fastest on this processor.

In single precision that is Winograd's. Where a processor multiplies whole tiles of bfloat16 (AMX), the plain sum of
products is faster than any way to save some of them, and more exact: Winograd's transforms enlarge what is rounded.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from worldsim.engine.cpu.winograd import KEPT, WinogradConv3x3
from worldsim.engine.kernels import tiles
from worldsim.engine.kernels.tiles import DEEP, SIDE, convolve, laid_out


class TiledConv3x3:
    """As :class:`.WinogradConv3x3`, multiplied in bfloat16 by tiles; not for two threads at once."""

    def __init__(self, weight: Tensor, bias: Tensor, grid: tuple[int, int]) -> None:
        self.outside, self.inside = weight.shape[:2]
        self.grid, self.deep = grid, -(-self.inside // DEEP) * DEEP
        full = torch.zeros(9, self.deep, self.outside)
        full[:, : self.inside] = weight.detach().float().permute(2, 3, 1, 0).flatten(0, 1)
        self.weight = laid_out(full.flatten(0, 1).numpy())
        self.bias = bias.detach().float().clone()
        self._workspaces: dict[int, _Workspace] = {}

    def __call__(self, x: Tensor, silu: bool = False) -> Tensor:
        """The convolution of x (N, h, w, C), or of its SiLU: float32 (N, h, w, out)."""
        n, *cells = x.shape
        assert cells == [*self.grid, self.inside], (
            f"expected cells {[*self.grid, self.inside]}, found {cells}"
        )
        room = self._workspaces.get(n) or _Workspace(n, self.grid, self.deep)
        if n <= KEPT:
            self._workspaces[n] = room
        out = torch.empty(n, *self.grid, self.outside)
        convolve(
            x.contiguous().numpy(), silu, room.padded, room.begins, room.places, self.weight,
            self.bias.numpy(), room.sums, out.view(-1, self.outside).numpy(),
        )  # fmt: skip
        return out


class _Workspace:
    """What a convolution of n pictures writes, allocated once; ``begins`` and ``places`` as in :func:`.tiles.convolve`:
    where each tile of 16 cells begins, and where in the result each of them goes."""

    def __init__(self, n: int, grid: tuple[int, int], deep: int) -> None:
        h, w = grid
        line, cells = w + 2, (h + 2) * (w + 2)
        self.room = np.zeros((n * cells + 2 * SIDE, deep), np.uint16)
        self.padded = self.room[: n * cells].reshape(n, h + 2, line, deep)
        self.sums = np.empty((4, SIDE, SIDE), np.float32)
        if w % SIDE:  # tiles run on over the border, whose cells are dropped
            begins = [k * cells + at for k in range(n) for at in range(0, h * line - 2, SIDE)]
        else:
            begins = [k * cells + i * line + j for k in range(n) for i in range(h) for j in range(0, w, SIDE)]
        begins += begins[-1:] * (len(begins) % 2)
        self.begins = np.array(begins)
        picture, at = np.divmod(self.begins[:, None] + np.arange(SIDE), cells)
        row, column = np.divmod(at, line)
        inside = (row < h) & (column < w) & (picture == self.begins[:, None] // cells)
        self.places = np.where(inside, (picture * h + row) * w + column, -1)


Conv3x3 = WinogradConv3x3 | TiledConv3x3


def convolution(weight: Tensor, bias: Tensor, grid: tuple[int, int], products: torch.dtype) -> Conv3x3:
    """A convolution with a border of zeros of cells (N, h, w, C) with channels last.

    Args:
        weight: (out, C, 3, 3); bias: (out,); grid: rows and columns, both even.
        products: what is multiplied, torch.float32 or torch.bfloat16; what comes in and goes out is float32.
    """
    if products is torch.bfloat16 and tiles.available():
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
