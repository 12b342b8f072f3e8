"""The model that every method of Meta-ARVDM shares: a denoiser, a way of memory, a compressor, a forward process.

A method (window, stride, levels, references) is data and knows no network; this network knows no method: it denoises
frames at whatever levels they have, given whatever past it is shown (sections 4 and 6.1).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor, nn

from worldsim.config import AutoencoderConfig, ConfigError, DenoiserConfig
from worldsim.diffusion.process import process_from, to_x0
from worldsim.models.autoencoders.conv import DOWNSAMPLING, ConvAutoencoder
from worldsim.models.autoencoders.sd3 import Sd3Autoencoder
from worldsim.models.denoisers.causal_dit import CausalDiT
from worldsim.models.denoisers.forcing_dit import ForcingDiT, ForcingDiTConfig
from worldsim.models.denoisers.protocol import Denoiser
from worldsim.models.denoisers.unet3d import UNet3D, UNet3DConfig
from worldsim.models.memory.variants.protocol import (
    Compressor,
    MemoryVariantConfig,
    References,
    Way,
    compress,
)
from worldsim.models.memory.variants.registry import compressor_from, way_from

DENOISERS = ("causal_dit", "unet3d", "forcing_dit")
SD3 = "sd3:"


@dataclass
class VideoModelConfig:
    """Everything that fixes a video model; ``prediction`` is what its denoiser puts out: x0, eps or v.

    ``causal`` lets the DiT's frames see only the frames up to them. ``latents`` is ``conv``, our own autoencoder, or
    ``sd3:SOURCE``, the frozen stable-diffusion-3 VAE of a hub id or a folder, whose weights no checkpoint repeats.
    ``more_memories`` are other memories over the same denoiser, each ``WAY/COMPRESSOR``, of the size of ``memory``.
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
    forcing_dit: ForcingDiTConfig = field(default_factory=ForcingDiTConfig)
    memory: MemoryVariantConfig = field(default_factory=MemoryVariantConfig)
    more_memories: list[str] = field(default_factory=list)

    @property
    def memories(self) -> list[MemoryVariantConfig]:
        """Every memory, the first one first."""
        pairs = [word.partition("/") for word in self.more_memories]
        return [self.memory, *(replace(self.memory, way=way, compressor=by) for way, _, by in pairs)]


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
        self.more_ways = nn.ModuleDict()
        self.more_compressors = nn.ModuleDict()
        for memory in config.memories[1:]:
            self.more_ways[memory.way] = cast(nn.Module, way_from(memory, channels, action, self.grid))
            by = compressor_from(memory, channels, action, self.grid)
            self.more_compressors[memory.way] = cast(nn.Module, by)
        self.denoiser = self._denoiser()
        self.register_buffer("action_mean", torch.zeros(action))
        self.register_buffer("action_std", torch.ones(action))

    def _denoiser(self) -> Denoiser:
        c, ways = self.config, [self.way, *cast(list[Way], list(self.more_ways.values()))]
        beside, memory_width = max(w.beside_channels for w in ways), max(w.memory_width for w in ways)
        if c.denoiser == "causal_dit":
            return CausalDiT(
                c.causal_dit,
                c.autoencoder.channels,
                beside,
                self.grid,
                c.action_dim,
                control_dim=self.way.control_dim,
                memory_width=memory_width,
                causal=c.causal,
            )
        if c.denoiser == "forcing_dit":
            return ForcingDiT(
                c.forcing_dit,
                c.autoencoder.channels,
                self.grid,
                self.way.control_dim,
                beside_channels=beside,
                memory_width=memory_width,
            )
        if c.denoiser == "unet3d":
            return UNet3D(
                c.unet3d,
                c.autoencoder.channels,
                self.way.control_dim,
                beside_channels=beside,
                memory_width=memory_width,
            )
        raise ConfigError(f"denoiser: expected {' or '.join(DENOISERS)}, found {c.denoiser!r}")

    @property
    def kept_elsewhere(self) -> str:
        """The prefix of the weights that no checkpoint holds, since a library has them; empty: it holds all."""
        return "autoencoder." if self.config.latents.startswith(SD3) else ""

    def normalise(self, actions: Tensor) -> Tensor:
        """Flattened actions (..., A) to zero mean and unit variance over the training data."""
        return (actions - self.action_mean) / self.action_std

    @property
    def travels(self) -> bool:
        """Whether the model is told sums of actions: references need their ``travel``."""
        c = self.config
        return (c.denoiser == "forcing_dit" and c.forcing_dit.travel) or c.memory.travel

    def travel(self, actions: Tensor) -> Tensor:
        """Normalised actions (B, n, A) to their sums (B, n, A), in which doing nothing adds nothing."""
        with torch.autocast(actions.device.type, enabled=False):
            return (actions.float() + self.action_mean / self.action_std).cumsum(1)

    def past_travel(self, actions: Tensor) -> Tensor:
        """``travel`` of the frames (B, n, A) just before a window, by the actions that led to each."""
        sums = self.travel(actions)
        return sums - sums[:, -1:]

    def memory(self, way: str = "") -> tuple[Way, Compressor]:
        """The way of that name and its compressor; the model's first, where no name is given.

        Raises:
            KeyError: the model has no such way.
        """
        if way in ("", self.config.memory.way):
            return self.way, self.compressor
        return cast(Way, self.more_ways[way]), cast(Compressor, self.more_compressors[way])

    def compress(self, past: References, budget: int, way: str = "") -> References:
        """The past as the denoiser is shown it: compressed to ``budget`` frames, or as it is where budget is 0."""
        return compress(self.memory(way)[1], past, budget) if budget else past

    def forward(self, z: Tensor, level: Tensor, actions: Tensor, past: References, way: str = "") -> Tensor:
        """The raw prediction for a window (B, w, C, h, w) at levels (B, w), with normalised actions (B, w, A)."""
        extra = {"travel": self.travel(actions)} if self.travels else {}
        return cast(Tensor, self.memory(way)[0](self.denoiser, z, level, actions, past, **extra))

    def clean(self, z: Tensor, level: Tensor, actions: Tensor, past: References, way: str = "") -> Tensor:
        """The clean latents (B, w, C, h, w) that the prediction implies."""
        return to_x0(self.process, self(z, level, actions, past, way), z, level, self.config.prediction)
