"""The layers of a small transformer over remembered frames: attention over time, over space, and a mlp."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Pre-norm attention in which the last ``keep`` items of a sequence look at all of it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, keep: int, mask: Tensor | None = None) -> Tensor:
        """x (N, L, width), mask (N, L) of items that may be seen; the update of the last ``keep`` items."""
        n, length, width = x.shape
        h = self.norm(x)
        q = self.q(h[:, length - keep :]).view(n, keep, self.heads, -1).transpose(1, 2)
        k, v = self.kv(h).view(n, length, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        allowed = None if mask is None else mask[:, None, None, :]
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
        return cast(Tensor, self.out(y.transpose(1, 2).reshape(n, keep, width)))


def mlp(width: int) -> nn.Sequential:
    """Pre-norm feed-forward update, zero weights in the last layer at the start of training."""
    mlp = nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
    )
    nn.init.zeros_(cast(nn.Linear, mlp[3]).weight)
    return mlp


def attend(
    tokens: Tensor,
    position: Tensor,
    where: Tensor,
    valid: Tensor,
    keep: int,
    temporal: nn.Module,
    spatial: nn.Module,
    mlp: nn.Module,
) -> Tensor:
    """One layer over remembered frames: over time at each cell, over the cells of each frame, then feed-forward.

    Only the last ``keep`` frames are computed. Position and place steer attention only; the content that is kept
    stays what the embedding made of it.

    Args:
        tokens: (B, M, S, width); position: (S, width) of the cells.
        where: broadcasts over (B, M, S, width), when or where each frame was seen; valid: (B, M) bool.

    Returns:
        (B, keep, S, width)
    """
    b, m, s, width = tokens.shape
    steered = tokens + position + where
    over_time = steered.transpose(1, 2).reshape(b * s, m, width)
    # A frame always sees itself, so that an empty memory stays finite.
    mask = valid | ~valid.any(1, keepdim=True)
    update = temporal(over_time, keep, mask.repeat_interleave(s, 0))
    tokens = tokens[:, m - keep :] + update.view(b, s, keep, width).transpose(1, 2)
    over_space = (tokens + position).reshape(b * keep, s, width)
    tokens = tokens + spatial(over_space, s).view(b, keep, s, width)
    return cast(Tensor, tokens + mlp(tokens))


class Layers(nn.Module):
    """``depth`` layers of :func:`attend` with their position of each cell."""

    def __init__(self, width: int, heads: int, depth: int, cells: int) -> None:
        super().__init__()
        self.position = nn.Parameter(0.02 * torch.randn(cells, width))
        self.temporal = nn.ModuleList(Attention(width, heads) for _ in range(depth))
        self.spatial = nn.ModuleList(Attention(width, heads) for _ in range(depth))
        self.mlp = nn.ModuleList(mlp(width) for _ in range(depth))

    def __len__(self) -> int:
        return len(self.temporal)

    def layer(self, i: int, tokens: Tensor, where: Tensor, valid: Tensor, keep: int) -> Tensor:
        """Layer ``i`` of (B, M, S, width) for the last ``keep`` frames; see :func:`attend`."""
        modules = self.temporal[i], self.spatial[i], self.mlp[i]
        return attend(tokens, self.position, where, valid, keep, *modules)

    def forward(self, tokens: Tensor, where: Tensor, valid: Tensor, keep: int) -> Tensor:
        """All layers; before the last every frame is computed, in the last only what is kept."""
        for i in range(len(self)):
            tokens = self.layer(i, tokens, where, valid, keep if i == len(self) - 1 else tokens.shape[1])
        return tokens
