"""Remembered frames as tokens and back, and their ages as sines and cosines."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn


def age_embedding(ages: Tensor, width: int) -> Tensor:
    """Ages in frames (...) to sines and cosines (..., width), from one frame to a thousand."""
    frequencies = torch.exp(-math.log(1e3) * torch.arange(width // 2, device=ages.device) / (width // 2))
    angle = ages[..., None] * frequencies
    return torch.cat([angle.cos(), angle.sin()], -1)


def ages(count: int, device: torch.device) -> Tensor:
    """How long ago each of ``count`` remembered frames was, (count,): the newest, the last one, is 1 frame old."""
    return torch.arange(count, 0, -1, device=device)


class Travel(nn.Module):
    """Sums of actions (..., A) to tokens (..., width): nothing at the start of training.

    A sum of turns comes round again, so it is told by sines and cosines too; a sum of steps by how large it is.
    """

    scales = (1.0, 0.25)

    def __init__(self, action_dim: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear((1 + 2 * len(self.scales)) * action_dim, width, bias=False)
        nn.init.zeros_(self.linear.weight)

    def forward(self, travel: Tensor) -> Tensor:
        parts = [travel / (4 + travel.abs())]
        for scale in self.scales:
            parts += [(travel * scale).sin(), (travel * scale).cos() - 1]
        return cast(Tensor, self.linear(torch.cat(parts, -1)))


class Patches(nn.Module):
    """Frames (B, M, C, h, w) to tokens of ``patch`` x ``patch`` cells (B, M, S, width), row by row."""

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, patch, stride=patch)

    def forward(self, frames: Tensor) -> Tensor:
        y = cast(Tensor, self.conv(frames.flatten(0, 1)))
        return y.flatten(2).transpose(1, 2).unflatten(0, frames.shape[:2])


class Unpatch(nn.Module):
    """Tokens (B, M, S, width) to channels of every cell (B, M, channels, h, w); no bias, so zero stays zero."""

    def __init__(self, width: int, channels: int, patch: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.rows = grid[0] // patch
        self.conv = nn.ConvTranspose2d(width, channels, patch, stride=patch, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = tokens.flatten(0, 1).transpose(1, 2).unflatten(2, (self.rows, -1))
        return cast(Tensor, self.conv(x)).unflatten(0, tokens.shape[:2])
