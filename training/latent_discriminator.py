"""The adversary of a dream: does a frame of latents look like one of the world, and does it follow the one before?"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

FACTS = 3
"""Planes of what is known beside the latents: the pitch, and by how much yaw and pitch changed."""


class LatentDiscriminator(nn.Module):
    """Latents (N, C, h, w), those of the frame before and :data:`FACTS`, stacked, to scores (N, 2, h / 2, w / 2).

    The first score is of the frame by itself with its pitch, the second of it as what follows the frame before;
    without the first, a frame after a bad one would be told by that one alone.
    """

    def __init__(self, channels: int, width: int = 48) -> None:
        super().__init__()
        self.channels = channels
        self.alone = _tower(channels + 1, width)
        self.follows = _tower(2 * channels + FACTS, width)

    def forward(self, evidence: Tensor) -> Tensor:
        c = self.channels
        alone = torch.cat([evidence[:, :c], evidence[:, 2 * c : 2 * c + 1]], 1)
        return torch.cat([self.alone(alone), self.follows(evidence)], 1)


def evidence(latents: Tensor, before: Tensor, moved: Tensor, pitch: Tensor) -> Tensor:
    """What is judged (B L, 2 C + FACTS, h, w), of the frames of clips.

    Args:
        latents: (B, L, C, h, w); before: (B, L, C, h, w), the frame before each; moved: (B, L, 5), as
            :func:`worldsim.memory.geometry.motion` has it; pitch: (B, L) in degrees.
    """
    facts = torch.cat([pitch[..., None] / 60, moved[..., 3:5]], -1)
    planes = facts[..., None, None].expand(*facts.shape, *latents.shape[-2:])
    return torch.cat([latents, before, planes.to(latents.dtype)], 2).flatten(0, 1)


def roughness(discriminator: nn.Module, evidence: Tensor, scale: float = 0.1) -> Tensor:
    """How fast the scores change around the evidence: E |D(x) - D(x + scale eps)|^2 / scale^2.

    Approximates the squared gradient of R1 (Mescheder et al. 2018) without a second derivative (Lin et al. 2025).
    """
    moved = evidence + scale * torch.randn_like(evidence)
    apart = discriminator(evidence).mean((1, 2, 3)) - discriminator(moved).mean((1, 2, 3))
    return cast(Tensor, (apart / scale).square().mean())


def _tower(channels: int, width: int) -> nn.Sequential:
    wide = 2 * width
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, width, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, wide, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(wide, wide, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(wide, wide, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(wide, 1, 1),
    )
