"""A plain transformer layer whose caller decides who sees whom."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.models.denoisers.layers import Attend


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
