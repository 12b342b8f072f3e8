"""Frames as a dream of its own past leaves them: less contrast, blurred, of another tint."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from training.data.clips import RowNoise


def degrade_context(latents: Tensor, noise: RowNoise, fade: float, odds: float = 1.0) -> Tensor:
    """Frames (B, N, C, h, w) faded, all frames of a row alike.

    Args:
        fade: the largest part of the contrast that is lost, in [0, 0.5]; blur and tint go with it.
        odds: how many of the rows fade at all.
    """
    lost, blur, here = noise.uniform(3).unbind(1)
    lost, blur = ((fade * x * (here < odds))[:, None, None, None, None] for x in (lost, blur))
    pooled = F.avg_pool2d(latents.flatten(0, 1), 3, 1, 1, count_include_pad=False).view_as(latents)
    tint = 0.5 * noise.normal(latents.shape[2])[:, None, :, None, None]
    return (1 - lost) * torch.lerp(latents, pooled, 2 * blur) + lost * tint
