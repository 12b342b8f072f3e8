"""A 3x3 convolution over few cells with channels last, by Winograd's minimal filtering.

A tile of m x m outputs of one channel costs (m + 2)^2 products instead of 9 m^2 (Lavin and Gray 2016, section 4): a
quarter for m = 4, four ninths for m = 2. The transforms of all tiles are one matrix product each, which a CPU's matrix
library does well where its own convolutions are slow: for one picture.
"""

from __future__ import annotations

import torch
from torch import Tensor

# B^T, G and A^T of F(m x m, 3 x 3), by m.
_TRANSFORMS: dict[int, tuple[list[list[float]], list[list[float]], list[list[float]]]] = {
    2: (
        [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]],
        [[1, 1, 1, 0], [0, 1, -1, -1]],
    ),
    4: (
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ],
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ],
        [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    ),
}
LARGE = 16
"""Side of a grid from which on tiles of 4 pay: smaller ones have too few of them for the filters to be fetched."""

KEPT = 16
"""Pictures up to which the memory for so many is kept for the next time."""


class WinogradConv3x3:
    """A convolution with a border of zeros on a grid of fixed size: cells (N, h, w, C) to (N, h, w, out).

    The result is the convolution's own memory until it is called again: use it up before.

    Args:
        weight: (out, C, 3, 3); bias: (out,); grid: rows and columns, both even.
        products: what is multiplied, torch.float32 or torch.bfloat16; what comes in and goes out is float32.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        grid: tuple[int, int],
        products: torch.dtype = torch.float32,
    ) -> None:
        m = 4 if min(grid) >= LARGE and not (grid[0] % 4 or grid[1] % 4) else 2
        b, g, a = (torch.tensor(x, dtype=torch.float64) for x in _TRANSFORMS[m])
        self.m, self.k, self.grid = m, m + 2, grid
        self.outside, self.inside = weight.shape[:2]
        filters = torch.einsum("ai,ocij,bj->abco", g, weight.detach().double().cpu(), g)
        self.products = products
        self.filters = filters.flatten(0, 1).to(products).contiguous()  # (k k, C, out)
        self.before = torch.kron(b, b).to(products).contiguous()  # (k k, k k)
        self.after = torch.kron(a, a).to(products).contiguous()  # (m m, k k)
        self.bias = bias.detach().float().clone()
        self._workspaces: dict[int, _Workspace] = {}

    def __call__(self, x: Tensor, silu: bool = False) -> Tensor:
        """The convolution of x (N, h, w, C), or of its SiLU."""
        room = self._workspaces.get(len(x)) or _Workspace(self, len(x))
        if len(x) <= KEPT:
            self._workspaces[len(x)] = room
        if silu:
            torch.ops.aten.silu.out(x, out=room.inside)
        else:
            room.inside.copy_(x)
        room.tiles.copy_(room.windows)
        torch.mm(self.before, room.tiles_flat, out=room.spread)
        torch.bmm(room.spread_each, self.filters, out=room.product)
        torch.mm(self.after, room.product_flat, out=room.outputs)
        torch.add(room.outputs_each, self.bias, out=room.result_tiled)
        return room.result


class _Workspace:
    """What a convolution of n pictures writes, allocated once, and the views of it."""

    def __init__(self, conv: WinogradConv3x3, n: int) -> None:
        m, k, (h, w), c, out = conv.m, conv.k, conv.grid, conv.inside, conv.outside
        rows, columns = h // m, w // m
        count = n * rows * columns
        padded = torch.zeros(n, h + 2, w + 2, c)  # its border stays zero
        self.inside = padded[:, 1:-1, 1:-1]
        line = (w + 2) * c
        self.windows = padded.as_strided(
            (k, k, n, rows, columns, c), (line, c, (h + 2) * line, m * line, m * c, 1)
        )
        dtype = conv.products
        self.tiles = torch.empty(k, k, n, rows, columns, c, dtype=dtype)
        self.tiles_flat = self.tiles.view(k * k, count * c)
        self.spread = torch.empty(k * k, count * c, dtype=dtype)
        self.spread_each = self.spread.view(k * k, count, c)
        self.product = torch.empty(k * k, count, out, dtype=dtype)
        self.product_flat = self.product.view(k * k, count * out)
        self.outputs = torch.empty(m * m, count * out, dtype=dtype)
        self.outputs_each = self.outputs.view(m, m, n, rows, columns, out)
        tiled = torch.empty(n, rows, m, columns, m, out)
        self.result_tiled = tiled.permute(2, 4, 0, 1, 3, 5)
        self.result = tiled.view(n, h, w, out)
