"""A real AR-Diffusion model, small enough for a test: 32x32 pictures, 4 tokens of 3 numbers."""

from __future__ import annotations

from typing import Any

import torch

from tests.helpers.small_model import SIZE
from tests.helpers.small_variant import awake
from worldsim.config import ArVaeConfig
from worldsim.models.ar_diffusion import ArDiffusion, ArDiffusionConfig
from worldsim.models.denoisers.ar_dit import ArDiTConfig
from worldsim.models.denoisers.forcing_dit import ForcingDiTConfig

SMALL_VAE = ArVaeConfig(size=SIZE, patch=8, tokens=4, dim=3, width=16, depth=1, heads=2, window=3)


def small_ar_diffusion(
    window: int = 4, causal: bool = True, forcing: bool = False, **fields: Any
) -> ArDiffusion:
    """Random weights everywhere, also where training starts from zero, so that every path matters."""
    torch.manual_seed(0)
    if forcing:
        sizes = ForcingDiTConfig(width=16, depth=2, heads=2, timeless=0.5)
        fields |= {"backbone": "forcing_dit", "forcing_dit": sizes}
    dit = ArDiTConfig(width=16, depth=2, heads=2, window=window, causal=causal)
    model = ArDiffusion(ArDiffusionConfig(autoencoder=SMALL_VAE, denoiser=dit, **fields))
    return awake(model).eval().requires_grad_(False)  # type: ignore[no-any-return]
