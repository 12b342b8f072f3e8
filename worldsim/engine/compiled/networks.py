"""The networks of a dream as functions of tensors of fixed shapes, and nothing else: what can be exported.

Each takes and gives plain tensors: a past is a ring of keys and values with a mask that hides its empty places, angles
of time are computed outside, where double precision costs nothing, and what depends on the data is a mask. The modules
inside are the trained ones; only attention over a cache is written for a ring.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from worldsim.engine.compiled.lowering import lowered
from worldsim.engine.compiled.steps import DenoiserStep, GeneratorStep
from worldsim.frames import larger
from worldsim.models.autoencoders.conv import ConvAutoencoder
from worldsim.models.geometry import motion, move
from worldsim.models.memory.rays.pixel_memory import PixelMemory, Seen
from worldsim.models.odometry import Odometry, apply_deadband
from worldsim.models.world_model import WorldModel


class Encode(nn.Module):
    """Frames (B, 3, H, W) in [-1, 1] to latents."""

    def __init__(self, autoencoder: ConvAutoencoder) -> None:
        super().__init__()
        self.net = autoencoder

    def forward(self, frames: Tensor) -> Tensor:
        return self.net.encode(frames)


class Decode(nn.Module):
    """Latents (B, C, h, w) to frames for pictures of ``side`` pixels."""

    def __init__(
        self, autoencoder: ConvAutoencoder, side: int, products: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.net, self.side = cast(ConvAutoencoder, lowered(autoencoder, products)), side

    def forward(self, latents: Tensor) -> Tensor:
        return self.net.decode_for(latents, self.side)


class Look(nn.Module):
    """What dead reckoning sees of latents (B, C, h, w): (B, D)."""

    def __init__(self, odometry: Odometry) -> None:
        super().__init__()
        self.net = odometry

    def forward(self, latents: Tensor) -> Tensor:
        return self.net.look(latents)


class NextPose(nn.Module):
    """:meth:`worldsim.models.odometry.Odometry.next_pose` from the last poses themselves."""

    def __init__(self, odometry: Odometry) -> None:
        super().__init__()
        self.net, self.exact = odometry, bool(odometry.exact)

    def forward(self, looked: Tensor, line: Tensor, actions: Tensor, ground: Tensor) -> tuple[Tensor, Tensor]:
        """looked (B, D), the last poses (B, N_RECENT + 1, 5) and actions (B, N_RECENT, A), newest first, the height of
        the ground (B,) to the next poses (B, 5) and the motions (B, 5) that lead there."""
        net, pose = self.net, line[:, 0]
        if net.still:
            return pose.clone(), torch.zeros_like(pose)
        motions = motion(line[:, 1:], line[:, :-1], net.scale)
        made = net.estimate_motion(looked, actions, motions, pose[:, 4], pose[:, 1] - ground)
        same = (actions[:, 0] == actions[:, 1]).all(1)
        after = move(pose, apply_deadband(made, motions[:, 0], same, self.exact), net.scale)
        return after, motion(pose, after, net.scale)


class Measure(nn.Module):
    """Latents (B, C, h, w) and pitches (B,) to log distances (B, ., .)."""

    def __init__(self, pixels: PixelMemory, products: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.net = lowered(pixels.depth, products)

    def forward(self, latents: Tensor, pitch: Tensor) -> Tensor:
        return cast(Tensor, self.net(latents, pitch))


class Mix(nn.Module):
    """:class:`worldsim.models.memory.rays.pixel_memory.PixelMemory` over pictures of ``side`` pixels."""

    def __init__(self, pixels: PixelMemory, side: int, products: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.net, self.side = cast(PixelMemory, lowered(pixels, products)), side

    def forward(
        self,
        drawn: Tensor,
        depths: Tensor,
        poses: Tensor,
        pictures: Tensor,
        theirs: Tensor,
        their_poses: Tensor,
        ages: Tensor,
        generated: Tensor,
        valid: Tensor,
    ) -> Tensor:
        """What was drawn (B, 3, ., .) of :class:`Decode`, enlarged where pictures are, and :class:`.Seen`'s tensors."""
        if drawn.shape[-1] != self.side:
            drawn = larger(drawn.clamp(-1, 1), self.side)
        views = Seen(pictures, theirs, their_poses, ages, generated, valid)
        return cast(Tensor, self.net(drawn, depths, poses, views))


class Compress(nn.Module):
    """:class:`worldsim.models.memory.variants.joint.JointCompressor` to a fixed budget."""

    def __init__(self, compressor: nn.Module, budget: int) -> None:
        super().__init__()
        self.net, self.budget = compressor, budget

    def forward(self, frames: Tensor, actions: Tensor, places: Tensor, valid: Tensor) -> Tensor:
        return cast(Tensor, self.net(frames, actions, places, valid, self.budget))


def networks(
    model: WorldModel, side: int | None = None, products: torch.dtype = torch.float32
) -> dict[str, nn.Module]:
    """Every network of a world model's dream, by name.

    ``side``: of the pictures, by default the model's; ``products``: what those that make pictures multiply in.
    """
    config, side = model.config, side or model.config.size
    found: dict[str, nn.Module] = {
        "encode": Encode(model.autoencoder),
        "decode": Decode(model.autoencoder, side, products),
        "look": Look(model.odometry),
        "next_pose": NextPose(model.odometry),
    }
    if config.generates:
        found["enter"] = GeneratorStep(model.generator, True, products)
        found["step"] = GeneratorStep(model.generator, False, products)
    else:
        found["features"] = model.frame_encoder
        found["compress"] = Compress(model.compressor, max(config.memory.budgets))
        found["read"] = model.reader
        for name in ("denoiser", "free_running"):
            if (dit := getattr(model, name, None)) is not None:
                found[f"{name}_enter"] = DenoiserStep(dit, True, products)
                found[f"{name}_step"] = DenoiserStep(dit, False, products)
    if config.pixels:
        found["measure"] = Measure(model.pixels, products)
        found["mix"] = Mix(model.pixels, side, products)
    return {name: network.eval() for name, network in found.items()}
