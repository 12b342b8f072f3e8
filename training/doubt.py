"""How little memory knows of what a frame shows, place by place: where a dream has to make something up.

What is drawn from memory is a mean of what might be there, so its squared error is near the variance of the latents, 1,
where nothing was seen, and small where the view is known. That error can itself be told from what was read.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PLACE = 2
"""Cells along the side of a place: the adversary's (:mod:`training.latent_discriminator`)."""


class Doubt(nn.Module):
    """The squared error to be expected of what was drawn from memory, by place.

    Learned on true frames by :meth:`loss`, so at its minimum it is the conditional mean; it is asked of frames whose
    truth nobody knows.
    """

    def __init__(self, channels: int, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, PLACE, stride=PLACE),
            nn.SiLU(),
            nn.Conv2d(width, 1, 1),
        )

    def forward(self, read: Tensor) -> Tensor:
        """What was read (B, L, extra, h, w), the guess and its features, to (B L, 1, h / 2, w / 2), 0 or more."""
        return F.softplus(cast(Tensor, self.layers(read.flatten(0, 1)))).float()

    def loss(self, read: Tensor, guess: Tensor, true: Tensor) -> Tensor:
        """Mean squared error of the expectation for a guess and the true frames, both (B, L, C, h, w)."""
        wrong = (guess.float() - true).square().mean(2).flatten(0, 1)[:, None]
        return F.mse_loss(self(read), F.avg_pool2d(wrong, PLACE))

    @torch.no_grad()
    def share(self, read: Tensor) -> Tensor:
        """How much of what is there is unknown, from 0 to 1, (B L, 1, h / 2, w / 2)."""
        expected: Tensor = self(read)
        return expected.clamp(max=1)
