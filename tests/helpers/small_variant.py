"""Denoisers and memory variants small enough for a test, and inputs for them: 4x4 latents of 4 channels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from worldsim.config import DenoiserConfig
from worldsim.models.denoisers.causal_dit import CausalDiT
from worldsim.models.denoisers.forcing_dit import ForcingDiT, ForcingDiTConfig
from worldsim.models.denoisers.unet3d import UNet3D, UNet3DConfig
from worldsim.models.memory.variants.protocol import MemoryVariantConfig, References
from worldsim.models.memory.variants.registry import compressor_from, way_from

CHANNELS, ACTIONS, GRID = 4, 6, (4, 4)
DENOISERS = ("unet3d", "causal_dit", "forcing_dit")


def awake(module: nn.Module) -> Any:
    """Random weights also where training starts from zero, so that every path matters."""
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return module


def small_denoiser(name: str, beside: int = 0, memory: int = 0, causal: bool = True) -> Any:
    torch.manual_seed(0)
    if name == "unet3d":
        config = UNet3DConfig([16, 24], [True], heads=2, condition=32)
        return UNet3D(config, CHANNELS, ACTIONS, beside, memory)
    if name == "forcing_dit":
        return ForcingDiT(ForcingDiTConfig(32, 2, 2, 2), CHANNELS, GRID, ACTIONS, beside, memory)
    dit = DenoiserConfig(width=32, depth=2, heads=2, patch=2, window=4)
    return CausalDiT(
        dit, CHANNELS, beside, GRID, ACTIONS, control_dim=ACTIONS, memory_width=memory, causal=causal
    )


def small_variant(denoiser: str, way: str, compressor: str = "none") -> tuple[Any, Any, Any]:
    """A denoiser, a way and a compressor that fit one another."""
    torch.manual_seed(1)
    config = MemoryVariantConfig(way, compressor, width=16, depth=1, heads=2, patch=2)
    built, by = (make(config, CHANNELS, ACTIONS, GRID) for make in (way_from, compressor_from))
    return small_denoiser(denoiser, built.beside_channels, built.memory_width), built, by


def window(count: int = 3, batch: int = 2, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Latents, levels and actions of a window."""
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(batch, count, CHANNELS, *GRID, generator=g)
    return z, torch.rand(batch, count, generator=g), torch.randn(batch, count, ACTIONS, generator=g)


def past(count: int, batch: int = 2, seed: int = 9) -> References:
    """References without padding."""
    latents, level, actions = window(count, batch, seed)
    return References(latents, actions, level * 0.1, torch.ones(batch, count, dtype=torch.bool))
