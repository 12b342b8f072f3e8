"""Which fast part stands in for which module; a part that is not in the table is never built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from worldsim.engine.backend import EngineError
from worldsim.engine.cpu.compressor import Compressor
from worldsim.engine.cpu.dead_reckoning import PoseIntegrator
from worldsim.engine.cpu.decoder import Decoder
from worldsim.engine.cpu.denoiser import Denoiser
from worldsim.engine.cpu.generator import FastGenerator
from worldsim.engine.cpu.pixel_memory import Pixels
from worldsim.engine.cpu.reader import Features, Reader
from worldsim.models.autoencoders.conv import ConvAutoencoder
from worldsim.models.denoisers.causal_dit import CausalDiT
from worldsim.models.denoisers.generator import Generator
from worldsim.models.memory.rays.pixel_memory import PixelMemory
from worldsim.models.memory.rays.reader import FrameEncoder, RayReader
from worldsim.models.memory.variants.joint import JointCompressor
from worldsim.models.odometry import Odometry


@dataclass(frozen=True)
class Build:
    """What parts are built for: latents' (h, w), what pictures are multiplied in, the noise level of contexts."""

    grid: tuple[int, int]
    products: torch.dtype = torch.float32
    context_level: float = 0.0


TWINS: dict[type[nn.Module], Callable[[Any, Build], Any]] = {
    ConvAutoencoder: lambda module, build: Decoder(module, build.grid, build.products),
    FrameEncoder: lambda module, build: Features(module, build.grid),
    JointCompressor: lambda module, build: Compressor(module),
    RayReader: lambda module, build: Reader(module),
    CausalDiT: lambda module, build: Denoiser(module, build.context_level),
    Generator: lambda module, build: FastGenerator(module, build.products),
    PixelMemory: lambda module, build: Pixels(module, build.products),
    Odometry: lambda module, build: PoseIntegrator(module, build.grid),
}


def twin(module: nn.Module, build: Build) -> Any:
    """The fast part that computes what a module computes, to rounding.

    Raises:
        EngineError: there is none for modules of this class.
    """
    if type(module) not in TWINS:
        raise EngineError(f"the cpu engine has no part for a {type(module).__name__}; use engine=eager")
    return TWINS[type(module)](module, build)
