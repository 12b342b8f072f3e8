"""Principal components of the parts of pictures, which an autoencoder begins as."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.models.autoencoders.parts import parts_of

RATES = {"autoencoder.part_in": 0.1, "autoencoder.part_out": 0.1}
"""Factors of the learning rate of what begins as components, which a usual step would lose at once."""


def components(shown: Tensor, part: tuple[int, int], most: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of the parts of pictures (N, 3, H, W): gains (n, 1) after which the components (n, 3 h w) have about unit
    variance over all of them, the components, and the mean (3 h w,)."""
    x = parts_of(shown, part).flatten(0, 1)
    mean = x.mean(0)
    _, spread, found = torch.linalg.svd(x - mean, full_matrices=False)
    count = min(most, len(spread))
    deviation = (spread[:count] / len(x) ** 0.5).clamp_min(1e-4)
    return (deviation * deviation.mean()).rsqrt()[:, None], found[:count], mean
