"""A real video model, small enough for a test, as a loaded checkpoint would be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.helpers.small_model import SIZE, SPEC
from worldsim.checkpoint import Description, Loaded
from worldsim.config import AutoencoderConfig, DenoiserConfig
from worldsim.models.denoisers.unet3d import UNet3DConfig
from worldsim.models.memory.variants.protocol import MemoryVariantConfig
from worldsim.models.video_model import VideoModel, VideoModelConfig


def small_video(
    way: str = "prepend", compressor: str = "joint", denoiser: str = "causal_dit", **fields: Any
) -> Loaded[VideoModel]:
    """Random weights everywhere, also where training starts from zero, so that every path matters."""
    torch.manual_seed(0)
    config = VideoModelConfig(
        size=SIZE,
        action_dim=20,
        denoiser=denoiser,
        autoencoder=AutoencoderConfig(8, [8, 8, 16], [8, 8, 16]),
        causal_dit=DenoiserConfig(width=32, depth=1, heads=2, patch=2),
        unet3d=UNet3DConfig(widths=[16, 16], halve=[True], heads=2, condition=32),
        memory=MemoryVariantConfig(way, compressor, width=16, depth=1, heads=2),
        **fields,
    )
    model = VideoModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05)
    return Loaded(model.eval(), Description(action_spec=SPEC, kind="video", video=config), Path("small"))
