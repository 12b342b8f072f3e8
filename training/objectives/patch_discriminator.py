"""The adversary of an autoencoder: a small convolutional judge of patches, and the hinge losses of both sides."""

from __future__ import annotations

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


def hinge(
    discriminator: nn.Module, real: Tensor, fake: Tensor, where: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The loss of who made the fakes and that of the discriminator (hinge, Lim and Ye 2017).

    ``where`` weighs the scores of the fakes in the first loss, place by place; without it all count alike.

    Both may be minimised together by one optimizer: the first reaches no weight of the discriminator, the second
    nothing else.
    """
    held = {name: p.detach() for name, p in discriminator.named_parameters()}
    scores: Tensor = functional_call(discriminator, held, (fake,))
    generator_loss = -(scores if where is None else scores * where).mean()
    real_score, fake_score = discriminator(torch.cat([real, fake.detach()])).chunk(2)
    discriminator_loss = F.relu(1 - real_score).mean() + F.relu(1 + fake_score).mean()
    return generator_loss, discriminator_loss
