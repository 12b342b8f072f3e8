"""Small world models with generators or denoisers, and arguments for each of their networks."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from tests.helpers.small_model import small_config, small_model
from worldsim.config import GeneratorConfig
from worldsim.engine.compiled.steps import hidden_places
from worldsim.models.denoisers.generator import EVIDENCE_CHANNELS
from worldsim.models.memory.variants.joint import POSE_FEATURES
from worldsim.models.odometry import N_RECENT
from worldsim.models.world_model import WorldModel

REMEMBERED = 9


def small_generator(stem: int = 0, seed: int = 0, linear: bool = False) -> WorldModel:
    """A model that generates, with a memory of pixels; random weights everywhere."""
    torch.manual_seed(seed)
    generator = GeneratorConfig(
        width=32, depth=2, heads=2, window=3, stem=stem, stem_blocks=1, strides=[1.0, 0.5]
    )
    config = small_config()
    config.autoencoder.linear = linear
    model = WorldModel(replace(config, generates=True, pixels=True, generator=generator))
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05)
    return model.eval()


def small_denoisers() -> WorldModel:
    """A model with two denoisers and a memory of pixels."""
    return small_model(pixels=True, free_running=True)


def arguments(model: WorldModel, name: str, batch: int = 2, each: int = 1) -> tuple[Tensor, ...]:
    """Random arguments of a network of :func:`worldsim.engine.compiled.networks.networks`; a ring that is half full.

    ``each``: pixels of a picture along one of the model's.
    """
    config, (h, w), b = model.config, model.grid, batch
    r, control, size, side = config.memory.reads, config.action_dim + 6, config.size, each * config.size

    def latents(*lead: int) -> Tensor:
        return torch.randn(*lead, config.autoencoder.channels, h, w)

    def poses(*lead: int) -> Tensor:
        return torch.randn(*lead, 5) * torch.tensor([3.0, 1, 3, 60, 20])

    simple = {
        "encode": lambda: (torch.rand(b, 3, size, size) * 2 - 1,),
        "decode": lambda: (latents(b),),
        "look": lambda: (latents(b),),
        "features": lambda: (latents(b),),
        "next_pose": lambda: (
            model.odometry.look(latents(b)),
            poses(b, N_RECENT + 1),
            torch.randn(b, N_RECENT, config.action_dim),
            torch.randn(b),
        ),
        "measure": lambda: (latents(b), 20 * torch.randn(b)),
        "mix": lambda: (
            torch.rand(b, 3, size, size) * 2 - 1,
            torch.randn(b, 4 * h, 4 * w),
            poses(b),
            torch.rand(b, r, 3, side, side) * 2 - 1,
            torch.randn(b, r, 4 * h, 4 * w),
            poses(b, r),
            50 * torch.rand(b, r),
            torch.rand(b, r) > 0.5,
            torch.rand(b, r) > 0.2,
        ),
        "compress": lambda: (
            torch.randn(b, REMEMBERED, h * w, config.memory.width),
            torch.randn(b, REMEMBERED, config.action_dim),
            torch.randn(b, REMEMBERED, POSE_FEATURES),
            torch.rand(b, REMEMBERED) > 0.2,
        ),
        "read": lambda: (
            torch.randn(b, r, h * w, config.memory.width),
            torch.randn(b, r, len(model.reader.rays), 3),
            poses(b, r),
            9 * torch.rand(b, r),
            torch.rand(b, r) > 0.3,
            poses(b),
        ),
    }
    if name in simple:
        return simple[name]()
    t = 2 if name.endswith("enter") else 1
    net = model.generator if config.generates else model.denoiser
    head = net.position.shape[1] // net.heads
    ring = torch.randn(2, len(net.blocks), b, net.heads, 1 + net.window, net.tokens, head)
    angles = torch.randn(t, head // 2)
    if config.generates:
        beside = torch.randn(b, t, EVIDENCE_CHANNELS, 8 * h, 8 * w), torch.rand(b, t)
    else:
        beside = (torch.randn(b, net.extra, h, w),)
    return (
        latents(b, t),
        torch.rand(b, t),
        torch.randn(b, t, control),
        *beside,
        torch.rand(b),
        angles.cos(),
        angles.sin(),
        *ring,
        hidden_places(t, net.window, 2, 2 if t == 2 else 0),
    )
