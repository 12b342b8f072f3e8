"""Mixing pixels for a dream or two: :class:`.pixel_memory.PixelMemory`, cells with their channels last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from worldsim.engine.cpu.convolution import Conv3x3, convolution, convolution_of, double, rows_first
from worldsim.engine.kernels.poses import Pose, rotation, wrap
from worldsim.engine.kernels.warping import mix, warp
from worldsim.engine.past import DreamPast
from worldsim.engine.pixel_recall import depths_for_recall
from worldsim.frames import larger, to_tensor, to_uint8
from worldsim.models.memory.rays.pixel_memory import AGE, FARTHEST, FEATURES, HALF, TURN, UNSEEN, PixelMemory
from worldsim.models.memory.rays.warp import BEHIND

N_VIEW_FEATURES = 4  # of a view as a whole: how far it is moved and turned, whether it is dreamt, and its age


class Pixels:
    """Pictures of new frames with what is remembered of them."""

    def __init__(self, memory: PixelMemory, products: torch.dtype = torch.float32) -> None:
        self.plain = memory
        self.size, self.fov, self.scale = memory.size, memory.fov, memory.scale
        net, (h, w) = memory.depth, memory.depth.grid
        self.rays = net.rays.view(h, w, 3).clone()
        self._rays: dict[int, np.ndarray] = {}
        self.begin = convolution_of(net.begin, (h, w), products)
        self.blocks = [
            tuple(convolution_of(layer, (h, w), products) for layer in cast(nn.ModuleList, block))
            for block in net.blocks
        ]
        self.finer = _shuffled(net.finer, (h, w), products)
        self.mix = convolution_of(net.mix, (2 * h, 2 * w), products)
        self.finest = _shuffled(net.finest, (2 * h, 2 * w), products)
        self.end = convolution_of(net.end, (4 * h, 4 * w), products)
        places = (self.size // HALF, self.size // HALF)
        self.features, self.fusion, self.logits = (
            convolution_of(layer, places, products)
            for layer in (memory.features, memory.fusion, memory.logits)
        )

    def measure(self, latents: Tensor, pitch: Tensor) -> Tensor:
        """:class:`worldsim.models.memory.rays.pixel_memory.DepthNet`: (n, C, h, w) and (n,) to (n, ., .)."""
        x = self.begin(torch.cat([latents.permute(0, 2, 3, 1), self._planes(pitch)], 3))
        for first, second in self.blocks:
            x = x + second(first(x, silu=True), silu=True)
        x = double(self.finer(x, silu=True))
        x = x + self.mix(x, silu=True)
        x = double(self.finest(x, silu=True))
        return self.end(x, silu=True)[..., 0].clamp(-FARTHEST, FARTHEST)

    def _planes(self, pitch: Tensor) -> Tensor:
        """:meth:`.DepthNet.planes`, channels last: pitch (n,) to (n, h, w, PLANES)."""
        radians = torch.deg2rad(pitch)[:, None, None]
        right, up, forward = self.rays.unbind(2)
        rise = radians.cos() * up - radians.sin() * forward
        ground = 0.1 / (0.1 - rise.clamp_max(0))
        return torch.stack([rise, ground, right.expand_as(rise), up.expand_as(rise)], 3)

    def __call__(
        self,
        pasts: Sequence[DreamPast],
        sources: Sequence[Sequence[int]],
        latents: Tensor,
        poses: Sequence[Pose],
        drawn: Sequence[np.ndarray],
    ) -> tuple[list[np.ndarray], Tensor]:
        """As :func:`worldsim.engine.pixel_recall.recall_pixels`, of pictures uint8 (H, W, 3)."""
        if (side := pasts[0].side) != len(drawn[0]):
            drawn = list(to_uint8(larger(to_tensor(np.stack(drawn)), side)))
        depth = self.measure(latents, torch.tensor([pose[4] for pose in poses]))
        rows = zip(pasts, sources, poses, drawn, depth, strict=True)
        return [self._one(*row) for row in rows], depth

    def _one(
        self, past: DreamPast, sources: Sequence[int], pose: Pose, drawn: np.ndarray, distance: Tensor
    ) -> np.ndarray:
        places = [past.place(i) for i in sources]
        if not places:
            return drawn
        r, grid, side = len(places), self.size // HALF, len(drawn)
        far = torch.stack(depths_for_recall(past, places, self.measure)).numpy()
        pictures = np.stack([past.pictures[i] for i in places])
        theirs = [past.poses[i].tolist() for i in places]
        turned = np.array(rotation(pose))
        # mine to theirs
        turns = np.array([np.array(rotation(other)).T @ turned for other in theirs], np.float32)
        steps = np.array(
            [np.array(rotation(other)).T @ (np.array(pose[:3]) - np.array(other[:3])) for other in theirs],
            np.float32,
        )
        fits = np.empty((r, grid, grid, FEATURES), np.float32)
        found = np.empty((r, side, side, 3), np.float32)
        inside = np.empty((r, side, side), np.float32)
        reach = math.tan(math.radians(self.fov) / 2)
        if side not in self._rays:
            self._rays[side] = self.plain.rays_of(side).numpy()
        rays = self._rays[side]
        warp(
            drawn, distance.contiguous().numpy(), rays, pictures, far, turns, steps,
            self.scale, reach, BEHIND, side // self.size, found, inside, fits,
        )  # fmt: skip
        for k, (i, other) in enumerate(zip(sources, theirs, strict=True)):
            moved = math.dist(other[:3], pose[:3]) / self.scale
            turn = (abs(wrap(other[3] - pose[3])) + abs(other[4] - pose[4])) / TURN
            generated = float(i >= past.true_until)
            fits[k, ..., -N_VIEW_FEATURES:] = moved, turn, generated, (past.count - i) / AGE
        x = self.fusion(self.features(torch.from_numpy(fits)), silu=True)
        logits = self.logits(x, silu=True).numpy().reshape(r, grid, grid)
        shown = np.empty_like(drawn)
        mix(drawn, found, inside, logits, UNSEEN, shown)
        return shown


def _shuffled(layer: nn.Conv2d, grid: tuple[int, int], products: torch.dtype) -> Conv3x3:
    """A convolution before a pixel shuffle, whose outputs :func:`.convolution.double` puts in place."""
    assert layer.bias is not None
    return convolution(rows_first(layer.weight.detach()), rows_first(layer.bias.detach()), grid, products)
