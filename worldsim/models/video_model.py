"""The model that every method of Meta-ARVDM shares: a denoiser, a way of memory, a compressor, a forward process.

A method (window, stride, levels, references) is data and knows no network; this network knows no method: it denoises
frames at whatever levels they have, given whatever past it is shown (sections 4 and 6.1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from worldsim.config import AutoencoderConfig, ConfigError, DenoiserConfig
from worldsim.diffusion.process import process_from, to_x0
from worldsim.models.autoencoders.conv import DOWNSAMPLING, ConvAutoencoder
from worldsim.models.autoencoders.sd3 import Sd3Autoencoder
from worldsim.models.denoisers.causal_dit import CausalDiT
from worldsim.models.denoisers.protocol import Denoiser
from worldsim.models.denoisers.unet3d import UNet3D, UNet3DConfig
from worldsim.models.memory.variants.protocol import MemoryVariantConfig, References, compress
from worldsim.models.memory.variants.registry import compressor_from, way_from

DENOISERS = ("causal_dit", "unet3d")
SD3 = "sd3:"


@dataclass
class VideoModelConfig:
    """Everything that fixes a video model; ``prediction`` is what its denoiser puts out: x0, eps or v.

    ``causal`` lets the DiT's frames see only the frames up to them. ``latents`` is ``conv``, our own autoencoder, or
    ``sd3:SOURCE``, the frozen stable-diffusion-3 VAE of a hub id or a folder, whose weights no checkpoint repeats.
    """

    size: int = 64
    action_dim: int = 20
    process: str = "vp_cosine"
    prediction: str = "v"
    latents: str = "conv"
    denoiser: str = "causal_dit"
    causal: bool = False
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    causal_dit: DenoiserConfig = field(default_factory=DenoiserConfig)
    unet3d: UNet3DConfig = field(default_factory=UNet3DConfig)
    memory: MemoryVariantConfig = field(default_factory=MemoryVariantConfig)


class VideoModel(nn.Module):
    """Everything a checkpoint of a video model holds. Latents have unit variance.

    Raises:
        ConfigError: an unknown denoiser. MemoryVariantError, DenoiserError, DiffusionError: parts that do not fit.
    """

    action_mean: Tensor
    action_std: Tensor

    def __init__(self, config: VideoModelConfig) -> None:
        super().__init__()
        self.config = config
        channels, action = config.autoencoder.channels, config.action_dim
        side = config.size // DOWNSAMPLING
        self.grid = (side, side)
        self.process = process_from(config.process)
        self.autoencoder: ConvAutoencoder | Sd3Autoencoder = (
            Sd3Autoencoder.load(config.latents.removeprefix(SD3))
            if config.latents.startswith(SD3)
            else ConvAutoencoder(config.autoencoder)
        )
        self.way = way_from(config.memory, channels, action, self.grid)
        self.compressor = compressor_from(config.memory, channels, action, self.grid)
        self.denoiser = self._denoiser()
        self.register_buffer("action_mean", torch.zeros(action))
        self.register_buffer("action_std", torch.ones(action))

    def _denoiser(self) -> Denoiser:
        c, way = self.config, self.way
        if c.denoiser == "causal_dit":
            return CausalDiT(
                c.causal_dit,
                c.autoencoder.channels,
                way.beside_channels,
                self.grid,
                c.action_dim,
                control_dim=way.control_dim,
                memory_width=way.memory_width,
                causal=c.causal,
            )
        if c.denoiser == "unet3d":
            return UNet3D(
                c.unet3d,
                c.autoencoder.channels,
                way.control_dim,
                beside_channels=way.beside_channels,
                memory_width=way.memory_width,
            )
        raise ConfigError(f"denoiser: expected {' or '.join(DENOISERS)}, found {c.denoiser!r}")

    @property
    def kept_elsewhere(self) -> str:
        """The prefix of the weights that no checkpoint holds, since a library has them; empty: it holds all."""
        return "autoencoder." if self.config.latents.startswith(SD3) else ""

    def normalise(self, actions: Tensor) -> Tensor:
        """Flattened actions (..., A) to zero mean and unit variance over the training data."""
        return (actions - self.action_mean) / self.action_std

    def compress(self, past: References, budget: int) -> References:
        """The past as the denoiser is shown it: compressed to ``budget`` frames, or as it is where budget is 0."""
        return compress(self.compressor, past, budget) if budget else past

    def forward(self, z: Tensor, level: Tensor, actions: Tensor, past: References) -> Tensor:
        """The raw prediction for a window (B, w, C, h, w) at levels (B, w), with normalised actions (B, w, A)."""
        return cast(Tensor, self.way(self.denoiser, z, level, actions, past))

    def clean(self, z: Tensor, level: Tensor, actions: Tensor, past: References) -> Tensor:
        """The clean latents (B, w, C, h, w) that the prediction implies."""
        return to_x0(self.process, self(z, level, actions, past), z, level, self.config.prediction)
