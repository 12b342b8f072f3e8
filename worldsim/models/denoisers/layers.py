"""Layers that denoisers share: noise-level embedding, rotary time, a modulated block with a cache, memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def level_embedding(level: Tensor, width: int = 128) -> Tensor:
    """Noise levels (...) in [0, 1] to sines and cosines (..., width)."""
    frequencies = torch.exp(-math.log(1e4) * torch.arange(width // 2, device=level.device) / (width // 2))
    angle = level[..., None] * 1000 * frequencies
    return torch.cat([angle.cos(), angle.sin()], -1)


def rotary(frames: Tensor, head: int, base: float = 100.0) -> tuple[Tensor, Tensor]:
    """Cosines and sines (..., head / 2) of frame indices (...); float64 inside, so frame 10,000 is as exact as 10."""
    frequencies = base ** (-torch.arange(0, head, 2, device=frames.device, dtype=torch.float64) / head)
    angle = frames.double()[..., None] * frequencies
    return angle.cos().float(), angle.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn queries or keys (..., L, head) by angles (L, head / 2)."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1).to(x.dtype)


Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""queries, keys and values (B, heads, L, head) -> what the queries found (B, heads, L, head)."""


@dataclass
class Cache:
    """Keys and values of the last clean frames, one pair a block, each (B, heads, frames * tokens, head)."""

    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)

    def before(self, block: int, k: Tensor, v: Tensor, limit: int | None = None) -> tuple[Tensor, Tensor]:
        """Keys and values with the cached ones (the last ``limit`` tokens of them) put before them."""
        if block >= len(self.keys) or limit == 0:
            return k, v
        start = 0 if limit is None else max(0, self.keys[block].shape[2] - limit)
        return (
            torch.cat([self.keys[block][:, :, start:], k], 2),
            torch.cat([self.values[block][:, :, start:], v], 2),
        )

    def extend(self, block: int, k: Tensor, v: Tensor, limit: int) -> None:
        """Append and forget what lies more than ``limit`` tokens back."""
        if block == len(self.keys):
            self.keys.append(k)
            self.values.append(v)
        else:
            self.keys[block] = torch.cat([self.keys[block], k], 2)
            self.values[block] = torch.cat([self.values[block], v], 2)
        self.keys[block] = self.keys[block][:, :, -limit:].contiguous()
        self.values[block] = self.values[block][:, :, -limit:].contiguous()


class Block(nn.Module):
    """Attention over space and time and a perceptron, both modulated by the frame's condition (adaLN-zero)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.modulate = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, condition: Tensor, turn: tuple[Tensor, Tensor], attend: Attend) -> Tensor:
        """x (B, T, S, width), condition (B, T, width), rotary turn per token; ``attend`` decides who sees whom."""
        b, t, s, width = x.shape
        a = self.modulate(condition)[:, :, None].chunk(6, -1)  # six of (B, T, 1, width)
        h = F.layer_norm(x, (width,)) * (1 + a[0]) + a[1]
        q, k, v = self.qkv(h).view(b, t * s, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = attend(rotate(q, *turn), rotate(k, *turn), v)
        x = x + a[2] * self.out(y.transpose(1, 2).reshape(b, t, s, width))
        h = F.layer_norm(x, (width,)) * (1 + a[3]) + a[4]
        return cast(Tensor, x + a[5] * self.down(F.gelu(self.up(h), approximate="tanh")))


class CrossAttention(nn.Module):
    """What the tokens of frames find in the tokens of a memory; zero at the start of training, and without memory."""

    def __init__(self, width: int, heads: int, memory_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(memory_width, 2 * width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, memory: Tensor, valid: Tensor | None = None) -> Tensor:
        """x (B, L, width), memory (B, N, D), valid (B, N) bool -> the update of x, (B, L, width).

        It is exactly zero where a row of the batch has no valid token.
        """
        if memory.shape[1] == 0:
            return torch.zeros_like(x)
        b, length, width = x.shape
        q = self.q(self.norm(x)).view(b, length, self.heads, -1).transpose(1, 2)
        k, v = self.kv(memory).view(b, memory.shape[1], 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        if valid is None:
            y = F.scaled_dot_product_attention(q, k, v)
            return cast(Tensor, self.out(y.transpose(1, 2).reshape(b, length, width)))
        some = valid.any(1)[:, None]  # (B, 1); a row with nothing looks at everything and is then dropped
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=(valid | ~some)[:, None, None])
        y = self.out(y.transpose(1, 2).reshape(b, length, width))
        return y.where(some[..., None], torch.zeros_like(y))


def frames_seen(count: int, valid: Tensor | None, causal: bool, device: torch.device) -> Tensor | None:
    """Which frames see which, (B or 1, T, T) bool, queries first; None where every frame sees every frame.

    A frame that does not exist is seen by none but itself, which keeps its own (unread) output finite.
    """
    if valid is None and not causal:
        return None
    mask = torch.ones(1, count, count, dtype=torch.bool, device=device)
    if causal:
        mask = mask.tril()
    if valid is not None:
        itself = torch.eye(count, dtype=torch.bool, device=device)
        mask = mask & (valid[:, None] | itself)
    return mask
