"""Attention that begins local and is learnt from there: mimetic initialisation (Trockman and Kolter 2023).

From small random numbers a transformer first has to find out which token belongs to which place, and a short training
on a processor ends before it has. Here places begin as sines and cosines over the picture, and keys begin equal to
queries, so that at first like attends to like: a token to patches near it, to itself in other frames.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def grid_of(count: int) -> tuple[int, int]:
    """Rows and columns of ``count`` places, as square as can be."""
    rows = max(n for n in range(1, count + 1) if count % n == 0 and n * n <= count)
    return rows, count // rows


def places(rows: int, columns: int, width: int, sharpness: float = 8.0) -> nn.Parameter:
    """Learnable embeddings of places on a grid, (rows columns, width).

    Grids of any size span the same square, so that those near each other on it begin alike, whichever grid they are
    of. The finest wave is ``sharpness`` / 4 periods long across the square.
    """
    waves = sharpness ** -(torch.arange(width // 4) * 4 / width) * sharpness * math.pi / 2

    def along(count: int) -> Tensor:
        angle = (torch.arange(count)[:, None] + 0.5) / count * waves
        return torch.cat([angle.sin(), angle.cos()], 1)  # (count, 2 waves)

    both, half = torch.zeros(rows, columns, width), 2 * len(waves)
    both[..., :half] = along(rows)[:, None]
    both[..., half : 2 * half] = along(columns)
    return nn.Parameter(0.7 * both.flatten(0, 1))


@torch.no_grad()
def tie_query_key(qkv: nn.Linear, sharpness: float = 2.0) -> None:
    """Let attention begin as likeness: keys equal to queries, both ``sharpness`` times their usual size."""
    q, k, _ = qkv.weight.chunk(3)
    q *= sharpness
    k.copy_(q)


@torch.no_grad()
def identity_values(qkv: nn.Linear, out: nn.Linear) -> None:
    """Let attention begin by handing on what it finds as it is: values and what is made of them are identities."""
    nn.init.eye_(qkv.weight.chunk(3)[2])
    nn.init.eye_(out.weight)
