"""The networks of a dream as functions of tensors of fixed shapes, and nothing else: what can be exported.

Each takes and gives plain tensors: a past is a ring of keys and values with a mask that hides its empty places, angles
of time are computed outside, where double precision costs nothing, and what depends on the data is a mask. The modules
inside are the trained ones; only attention over a cache is written for a ring.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.frames import larger
from worldsim.models.autoencoders.conv import ConvAutoencoder
from worldsim.models.denoisers.causal_dit import CausalDiT
from worldsim.models.denoisers.generator import Generator
from worldsim.models.denoisers.layers import Attend
from worldsim.models.geometry import motion, move
from worldsim.models.memory.rays.pixel_memory import PixelMemory, Seen
from worldsim.models.odometry import Odometry, apply_deadband
from worldsim.models.world_model import WorldModel

HIDDEN = -1e4
"""Added to the logit of what is not to be seen; finite, since some libraries make nan of what is not."""


class _Short(nn.Module):
    """A linear layer or a convolution that multiplies in a short type; float32 in and out."""

    def __init__(self, layer: nn.Module, products: torch.dtype) -> None:
        super().__init__()
        self.layer, self.products = layer.to(products), products

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.layer(x.to(self.products))).float()


def lowered(module: nn.Module, products: torch.dtype) -> nn.Module:
    """A module whose matrix products and convolutions are made in ``products``: the module, or a copy of it.

    Casts are part of the graph, so that every library makes the same ones.
    """
    if products is torch.float32:
        return module
    module = copy.deepcopy(module)

    def lower(parent: nn.Module) -> None:
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear | nn.Conv2d):
                setattr(parent, name, _Short(child, products))
            else:
                lower(child)

    lower(module)
    return module


def hidden_places(frames: int, window: int, count: int, place: int) -> Tensor:
    """Added to attention over the places of a ring (frames, window): HIDDEN where one is empty.

    Args:
        count: clean frames in the ring, the one at ``place`` among them where one enters.
        place: of the frame that enters, counted from 1, whose old keys nobody sees; 0 where none does.
    """
    mask = torch.zeros(frames, window)
    mask[:, min(count, window) :] = HIDDEN
    if place:
        mask[:, place - 1] = HIDDEN
    return mask


class _Ringed(nn.Module):
    """Attention of T new frames over a ring and themselves; of two the first, which enters, does not see the second."""

    among: Tensor

    def __init__(self, tokens: int, enters: bool, products: torch.dtype) -> None:
        super().__init__()
        self.tokens, self.enters, self.products = tokens, enters, products
        t = 1 + enters
        among = torch.zeros(t, t).masked_fill(torch.ones(t, t).triu(1).bool(), HIDDEN)
        self.register_buffer("among", among, persistent=False)

    def attends(
        self, keys: Tensor, values: Tensor, hidden: Tensor
    ) -> tuple[Callable[[int], Attend], list[Tensor], list[Tensor]]:
        """How block i attends, and where the keys and values of the frame that enters will lie, block by block.

        keys, values: (depth, B, heads, 1 + window, S, head) of a ring, whose place 0 is not read; hidden: (T, window).
        """
        s, t = self.tokens, len(hidden)
        mask = torch.cat([hidden, self.among], 1)  # (T, window + T)
        mask = mask[:, None, :, None].expand(-1, s, -1, s).reshape(t * s, -1).to(self.products)
        new_keys: list[Tensor] = []
        new_values: list[Tensor] = []

        def attend_in(i: int) -> Attend:
            def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
                if self.enters:
                    new_keys.append(k[:, :, :s].float())
                    new_values.append(v[:, :, :s].float())
                all_keys = torch.cat([keys[i, :, :, 1:].flatten(2, 3), k], 2).to(self.products)
                all_values = torch.cat([values[i, :, :, 1:].flatten(2, 3), v], 2).to(self.products)
                y = F.scaled_dot_product_attention(q.to(self.products), all_keys, all_values, attn_mask=mask)
                return y.float()

            return attend

        return attend_in, new_keys, new_values

    def turns(self, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """Angles (T, head / 2) of frames as those of their tokens (T S, head / 2)."""
        each = (x[:, None].expand(-1, self.tokens, -1).flatten(0, 1) for x in (cos, sin))
        return next(each), next(each)


class GeneratorStep(_Ringed):
    """One denoising step of a generator; where a frame ``enters``, it is computed in the same pass."""

    def __init__(self, generator: Generator, enters: bool, products: torch.dtype = torch.float32) -> None:
        super().__init__(generator.tokens, enters, products)
        self.net = cast(Generator, lowered(generator, products))

    def forward(
        self,
        latents: Tensor,
        level: Tensor,
        control: Tensor,
        evidence: Tensor,
        stride: Tensor,
        keep: Tensor,
        cos: Tensor,
        sin: Tensor,
        keys: Tensor,
        values: Tensor,
        hidden: Tensor,
    ) -> tuple[Tensor, ...]:
        """T frames, the noisy one last.

        Args:
            latents: (B, T, C, h, w); level, stride: (B, T); control: (B, T, K); evidence: (B, T, SEEN, H, W).
            keep: (B,), the next level over this one; cos, sin: (T, head / 2); keys, values, hidden: :meth:`attends`.

        Returns:
            the noisy frame at the next level (B, C, h, w); where a frame enters also its keys and values
            (depth, B, heads, S, head).
        """
        net = self.net
        condition = net.condition(level, control, stride)
        x, maps = net.tokens_of(latents, evidence)
        modulation, turns = net.modulation(condition), self.turns(cos, sin)
        attend_in, new_keys, new_values = self.attends(keys, values, hidden)
        for i, block in enumerate(net.blocks):
            x = block(x, modulation, turns, attend_in(i))
        if maps is not None:
            maps = maps.unflatten(0, latents.shape[:2])[:, -1]
        x0 = net.latents_of(x[:, -1:], condition[:, -1:], maps)[:, 0].float()
        return _advanced(latents[:, -1], x0, keep, new_keys, new_values)


class DenoiserStep(_Ringed):
    """One denoising step of a causal DiT, as :class:`GeneratorStep`; ``read`` (B, E, h, w) begins with the guess."""

    def __init__(self, dit: CausalDiT, enters: bool, products: torch.dtype = torch.float32) -> None:
        super().__init__(dit.tokens, enters, products)
        self.net = cast(CausalDiT, lowered(dit, products))

    def forward(
        self,
        latents: Tensor,
        level: Tensor,
        control: Tensor,
        read: Tensor,
        keep: Tensor,
        cos: Tensor,
        sin: Tensor,
        keys: Tensor,
        values: Tensor,
        hidden: Tensor,
    ) -> tuple[Tensor, ...]:
        """See :meth:`GeneratorStep.forward`."""
        net = self.net
        x = net._embed(latents[:, -1:], read[:, None], 1)
        if self.enters:
            x = torch.cat([net._embed(latents[:, :1], None, 0), x], 1)
        condition, turns = net._condition(level, control), self.turns(cos, sin)
        attend_in, new_keys, new_values = self.attends(keys, values, hidden)
        for i, block in enumerate(net.blocks):
            x = block(x, condition, turns, attend_in(i))
        x0 = read[:, : net.channels] + net._finish(x[:, -1:], condition[:, -1:])[:, 0]
        return _advanced(latents[:, -1], x0, keep, new_keys, new_values)


def _advanced(
    z: Tensor, x0: Tensor, keep: Tensor, new_keys: list[Tensor], new_values: list[Tensor]
) -> tuple[Tensor, ...]:
    following = x0 + keep[:, None, None, None] * (z - x0)
    return (following, torch.stack(new_keys), torch.stack(new_values)) if new_keys else (following,)


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
        distances: Tensor,
        poses: Tensor,
        pictures: Tensor,
        theirs: Tensor,
        their_poses: Tensor,
        ages: Tensor,
        own: Tensor,
        valid: Tensor,
    ) -> Tensor:
        """What was drawn (B, 3, ., .) of :class:`Decode`, enlarged where pictures are, and :class:`.Seen`'s tensors."""
        if drawn.shape[-1] != self.side:
            drawn = larger(drawn.clamp(-1, 1), self.side)
        seen = Seen(pictures, theirs, their_poses, ages, own, valid)
        return cast(Tensor, self.net(drawn, distances, poses, seen))


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
