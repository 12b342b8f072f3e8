"""Rectified flow between a clean latent and noise: corrupt, convert, weigh, and one reverse update.

z_t = (1 - t) z_0 + t eps, with t the noise level in [0, 1]; the velocity is v = eps - z_0.
"""

from __future__ import annotations

import torch
from torch import Tensor


def _per_frame(level: Tensor, like: Tensor) -> Tensor:
    """(B, T) or any leading shape to a shape that broadcasts over the rest of ``like``."""
    return level.reshape(*level.shape, *(1,) * (like.dim() - level.dim()))


def corrupt(z0: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """Latents (B, T, ...) at noise levels (B, T)."""
    t = _per_frame(level, z0)
    return (1 - t) * z0 + t * noise


def x0_to_v(x0: Tensor, z: Tensor, level: Tensor) -> Tensor:
    """Velocity that a prediction of the clean latent implies: (z_t - x0) / t."""
    return (z - x0) / _per_frame(level, z).clamp_min(1e-4)


def v_to_x0(v: Tensor, z: Tensor, level: Tensor) -> Tensor:
    """Clean latent that a velocity implies: z_t - t v."""
    return z - _per_frame(level, z) * v


def x0_to_eps(x0: Tensor, z: Tensor, level: Tensor) -> Tensor:
    """Noise that a prediction of the clean latent implies."""
    t = _per_frame(level, z)
    return (z - (1 - t) * x0) / t.clamp_min(1e-4)


def reverse(z: Tensor, x0: Tensor, level: Tensor, target: Tensor) -> Tensor:
    """One Euler step of the probability flow from ``level`` to the lower level ``target`` (both (B, T))."""
    s, t = _per_frame(target, z), _per_frame(level, z).clamp_min(1e-4)
    return z * (s / t) + x0 * (1 - s / t)


def loss_weight(level: Tensor, floor: float = 0.4) -> Tensor:
    """Weight of a squared x0 error: the velocity loss 1/t^2, held constant below ``floor``; 0.4 at pure noise.

    The factor makes the mean weight about 1 under :func:`sample_levels`.
    """
    return 0.4 * level.clamp_min(floor).pow(-2)


def sample_levels(normal: Tensor, uniform: Tensor, mean: float = 0.8, std: float = 1.2) -> Tensor:
    """Logit-normal noise levels that lean to noise, one in eight exactly at pure noise, as few-step sampling meets it.

    Args:
        normal, uniform: standard normal and uniform numbers, of the shape of the levels.
    """
    t = torch.sigmoid(normal * std + mean).clamp(0.02, 1.0)
    return torch.where(uniform < 0.125, torch.ones_like(t), t)
