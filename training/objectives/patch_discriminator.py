"""The adversaries of an autoencoder: small judges of patches, by pixels and by what a network of pictures sees in them,
and the hinge losses of both sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F


class PatchDiscriminator(nn.Module):
    """Pictures (N, 3, H, W) to one score for every patch of theirs, high where it looks real (Isola et al. 2017)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        a, b, c = width, 2 * width, 4 * width
        self.layers = nn.Sequential(
            nn.Conv2d(3, a, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(a, b, 4, 2, 1),
            nn.GroupNorm(8, b),
            nn.LeakyReLU(0.2),
            nn.Conv2d(b, c, 3, 1, 1),
            nn.GroupNorm(8, c),
            nn.LeakyReLU(0.2),
            nn.Conv2d(c, 1, 3, 1, 1),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        return cast(Tensor, self.layers(pictures))


class FeatureDiscriminator(nn.Module):
    """Features of a frozen network, each (N, C, h, w), to scores (N, layers, H, W) on the finest grid, high where a
    picture looks real.

    A judge of features that were learned on photographs is hard to fool by a pattern (Projected GANs, Sauer et al.
    2021).
    """

    def __init__(self, widths: Sequence[int], width: int = 64) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, width, 1), nn.LeakyReLU(0.2), nn.Conv2d(width, 1, 3, padding=1))
            for channels in widths
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        scores = [head(x) for head, x in zip(self.heads, features, strict=True)]
        size = scores[0].shape[-2:]
        return torch.cat([F.interpolate(x, size) for x in scores], 1)


def hinge(
    discriminator: nn.Module, real: Tensor | list[Tensor], fake: Tensor | list[Tensor]
) -> tuple[Tensor, Tensor]:
    """The loss of who made the fakes and that of the discriminator (hinge, Lim and Ye 2017).

    ``real`` and ``fake`` are what the discriminator judges: pictures, or their features.

    Both may be minimised together by one optimizer: the first reaches no weight of the discriminator, the second
    nothing else.
    """
    held = {name: p.detach() for name, p in discriminator.named_parameters()}
    scores: Tensor = functional_call(discriminator, held, (fake,))
    made = [x.detach() for x in fake] if isinstance(fake, list) else fake.detach()
    discriminator_loss = F.relu(1 - discriminator(real)).mean() + F.relu(1 + discriminator(made)).mean()
    return -scores.mean(), discriminator_loss
