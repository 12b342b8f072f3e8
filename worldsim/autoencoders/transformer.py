"""A plain transformer layer whose caller decides who sees whom, and how it and its places begin."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.denoisers.layers import Attend


class Layer(nn.Module):
    """Pre-norm attention and a perceptron, each around a skip."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, attend: Attend = F.scaled_dot_product_attention) -> Tensor:
        """x (N, S, width) to the same shape; ``attend`` gets queries, keys and values (N, heads, S, head)."""
        n, s, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, s, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = attend(q, k, v)
        x = x + self.out(y.transpose(1, 2).reshape(n, s, width))
        return cast(Tensor, x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh")))


def places(rows: int, columns: int, width: int, sharpness: float = 8.0) -> nn.Parameter:
    """Learnable embeddings of places on a grid, (rows columns, width); they begin as sines and cosines.

    Grids of any size span the same square, so that those near each other on it begin alike, whichever grid they are
    of. The finest wave is ``sharpness`` / 4 periods long across the square.
    """
    waves = sharpness ** -(torch.arange(width // 4) * 4 / width) * sharpness * math.pi / 2

    def along(count: int) -> Tensor:
        angle = (torch.arange(count)[:, None] + 0.5) / count * waves
        return torch.cat([angle.sin(), angle.cos()], 1)  # (count, 2 waves)

    both = torch.zeros(rows, columns, width)
    half = 2 * len(waves)
    both[..., :half] = along(rows)[:, None]
    both[..., half : 2 * half] = along(columns)
    return nn.Parameter(0.7 * both.flatten(0, 1))


@torch.no_grad()
def look_alike(layer: Layer, sharpness: float = 2.0) -> None:
    """Let a layer's attention begin as likeness: keys equal to queries, both ``sharpness`` times their usual size."""
    q, k, _ = layer.qkv.weight.chunk(3)
    q *= sharpness
    k.copy_(q)
