"""A real world model, small enough for a test: 32x32 pictures, 4x4 latents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from envs.actions import space, spec
from worldsim import checkpoint
from worldsim.checkpoint import LoadedModel
from worldsim.config import AutoencoderConfig, DenoiserConfig, MemoryConfig, ModelConfig
from worldsim.models.world_model import WorldModel

SIZE, WINDOW = 32, 4
SPEC = spec(space("minecraft"), "minecraft")


def small_config() -> ModelConfig:
    return ModelConfig(
        size=SIZE,
        fov=70.0,
        action_dim=20,
        autoencoder=AutoencoderConfig(8, [8, 8, 16], [8, 8, 16]),
        denoiser=DenoiserConfig(width=32, depth=2, heads=2, patch=2, window=WINDOW),
        memory=MemoryConfig(width=16, depth=1, heads=2, reads=3, histories=[4, 8, 20], budgets=[2, 4, 8]),
    )


def small_model(seed: int = 0, free_running: bool = False, pixels: bool = False) -> WorldModel:
    """Random weights everywhere, also where training starts from zero, so that every path matters."""
    torch.manual_seed(seed)
    model = WorldModel(replace(small_config(), free_running=free_running, pixels=pixels))
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05)
    return model.eval()


def small_checkpoint(folder: Path, pixels: bool = False, **facts: Any) -> Path:
    checkpoint.save(folder, small_model(pixels=pixels), {"family": "minecraft", "action_spec": SPEC, **facts})
    return folder


def small_loaded(folder: Path, pixels: bool = False) -> LoadedModel:
    return checkpoint.load(str(small_checkpoint(folder, pixels)))
