"""Prepending: past frames come before the window on the temporal axis (section 6.1, Figure 5)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from worldsim.models.denoisers.protocol import Denoiser
from worldsim.models.memory.variants.protocol import MemoryVariantConfig, References, travel_for, way


@way("prepend", compressors=("none", "joint"))
class Prepend(nn.Module):
    """Past frames are frames like the others, at the levels they carry; their layer-normalised actions control them.

    The norm tells the denoiser a remembered frame from one of the window, also where both are clean.
    """

    def __init__(
        self, config: MemoryVariantConfig, channels: int, action_dim: int, grid: tuple[int, int]
    ) -> None:
        super().__init__()
        self.control_dim, self.beside_channels, self.memory_width = action_dim, 0, 0
        self.norm = nn.LayerNorm(action_dim)

    def forward(
        self,
        denoiser: Denoiser,
        z: Tensor,
        level: Tensor,
        actions: Tensor,
        past: References,
        travel: Tensor | None = None,
    ) -> Tensor:
        """See :meth:`worldsim.models.memory.variants.protocol.Way.forward`."""
        past = past.packed()
        m = len(past)
        extra = travel_for(denoiser, travel)
        if m == 0:
            return cast(Tensor, denoiser(z, level, actions, **extra))
        remember = getattr(denoiser, "remember", None)
        if remember is not None and not torch.is_grad_enabled() and bool(past.valid.all()):
            if past.cache is None:
                before = travel_for(denoiser, past.travel)
                past.cache = remember(past.latents, past.level, self.norm(past.actions), **before)
            return cast(Tensor, denoiser(z, level, actions, before=past.cache, **extra))
        if travel is not None and past.travel is not None:
            extra = travel_for(denoiser, torch.cat([past.travel, travel], 1))
        valid = None
        if not bool(past.valid.all()):
            valid = torch.cat([past.valid, torch.ones_like(level, dtype=torch.bool)], 1)
        out: Tensor = denoiser(
            torch.cat([past.latents, z], 1),
            torch.cat([past.level, level], 1),
            torch.cat([self.norm(past.actions), actions], 1),
            valid=valid,
            **extra,
        )
        return out[:, m:]
