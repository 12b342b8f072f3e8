"""The convolutional autoencoder's decoder for a frame or two, cells with their channels last."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.engine.cpu.convolution import convolution, convolution_of, double, rows_first
from worldsim.engine.cpu.linear import Dense
from worldsim.models.autoencoders.conv import DOWNSAMPLING, HEAD, PART, ConvAutoencoder, ResBlock

Stage = Callable[[Tensor], Tensor]
"""Cells (N, h, w, C) to cells."""


class Decoder:
    """Latents with their channels last (N, h, w, C) to frames uint8 (N, 8h, 8w, 3), or of twice the side where
    pictures are larger and the autoencoder has a head for that.

    What scales the latents before and the picture after is part of the first and the last convolution.
    """

    def __init__(
        self, autoencoder: ConvAutoencoder, grid: tuple[int, int], products: torch.dtype = torch.float32
    ) -> None:
        modules = list(autoencoder.decoder)
        self.stages: list[Stage] = []
        i = 0
        while i < len(modules):
            module = modules[i]
            shuffled = i + 1 < len(modules) and isinstance(modules[i + 1], nn.PixelShuffle)
            if isinstance(module, nn.Conv2d):
                weight, bias = module.weight.detach(), _bias(module)
                if i == 0:
                    weight = weight * autoencoder.scale[:, None, None]
                if i + 2 >= len(modules):  # [-1, 1] to [0, 255]
                    weight, bias = weight * 127.5, bias * 127.5 + 127.5
                if shuffled:
                    weight, bias = rows_first(weight), rows_first(bias)
                self.stages.append(_convolution(weight, bias, grid, products))
            elif isinstance(module, ResBlock):
                self.stages.append(_Residual(module, grid, products))
            elif isinstance(module, nn.GroupNorm):
                self.stages.append(_Norm(module))
            elif isinstance(module, nn.SiLU):
                self.stages.append(lambda x: F.silu(x, inplace=True))
            else:
                raise TypeError(f"the fast decoder knows no {type(module).__name__}")
            if shuffled:
                self.stages.append(double)
                grid = (2 * grid[0], 2 * grid[1])
                i += 1
            i += 1
        self.head = self.stages[-HEAD:]
        del self.stages[-HEAD:]
        self.linear = _Linear(autoencoder) if autoencoder.config.linear else None
        self.superresolution = None
        if autoencoder.config.superresolution:
            shared = grid[0] // 2, grid[1] // 2
            self.superresolution = _Superresolution(autoencoder.superresolution, shared, products)

    def __call__(self, cells: Tensor, side: int) -> list[np.ndarray]:
        """One picture uint8 for each of N latents, for a dream whose pictures have ``side`` pixels."""
        small = side <= DOWNSAMPLING * cells.shape[1]
        linear = None if self.linear is None else self.linear(cells)
        for stage in self.stages:
            cells = stage(cells)
        features = cells
        for stage in self.head:
            cells = stage(cells)
        if linear is not None:
            cells = cells + linear
        if self.superresolution is not None and not small:
            cells = enlarged(cells) + self.superresolution(features)
        return list(cells.clamp(0, 255).round_().to(torch.uint8).numpy())


class _Linear:
    """What each cell gives of its own pixels: cells (N, h, w, C) to (N, 8h, 8w, 3), 0 to 255 about 0."""

    def __init__(self, autoencoder: ConvAutoencoder) -> None:
        layer = autoencoder.part_out
        weight = (layer.weight.detach() * autoencoder.scale).t() * 127.5
        self.dense = Dense(weight, layer.bias.detach() * 127.5)

    def __call__(self, cells: Tensor) -> Tensor:
        n, h, w, c = cells.shape
        parts = self.dense(cells.reshape(-1, c)).view(n, h, w, 3, *PART)
        return parts.permute(0, 1, 4, 2, 5, 3).reshape(n, PART[0] * h, PART[1] * w, 3)


class _Superresolution:
    """What :class:`worldsim.models.autoencoders.conv.ConvAutoencoder` adds to a frame enlarged to twice its side."""

    def __init__(self, head: nn.Sequential, grid: tuple[int, int], products: torch.dtype) -> None:
        wide, fine, last = (module for module in head if isinstance(module, nn.Conv2d))
        twice = 2 * grid[0], 2 * grid[1]
        self.wide = convolution(rows_first(wide.weight.detach()), rows_first(_bias(wide)), grid, products)
        self.fine = convolution_of(fine, twice, products)
        weight, bias = last.weight.detach() * 127.5, _bias(last) * 127.5
        self.last = convolution(rows_first(weight), rows_first(bias), twice, products)

    def __call__(self, x: Tensor) -> Tensor:
        return double(self.last(self.fine(double(self.wide(x)), silu=True), silu=True))


def enlarged(x: Tensor) -> Tensor:
    """Cells (N, h, w, C) at twice the side (N, 2h, 2w, C), bilinearly."""
    y = F.interpolate(x.permute(0, 3, 1, 2), scale_factor=2.0, mode="bilinear", align_corners=False)
    return y.permute(0, 2, 3, 1)


class _Norm:
    """A group norm over cells with their channels last."""

    def __init__(self, norm: nn.Module) -> None:
        assert isinstance(norm, nn.GroupNorm)
        self.groups, self.eps = norm.num_groups, norm.eps
        self.weight, self.bias = norm.weight.detach().clone(), norm.bias.detach().clone()

    def __call__(self, x: Tensor) -> Tensor:
        y = F.group_norm(x.permute(0, 3, 1, 2), self.groups, self.weight, self.bias, self.eps)
        return y.permute(0, 2, 3, 1)


class _Residual:
    """:class:`worldsim.models.autoencoders.conv.ResBlock`."""

    def __init__(self, block: ResBlock, grid: tuple[int, int], products: torch.dtype) -> None:
        self.norm1, self.norm2 = _Norm(block.norm1), _Norm(block.norm2)
        self.conv1, self.conv2 = (convolution_of(conv, grid, products) for conv in (block.conv1, block.conv2))

    def __call__(self, x: Tensor) -> Tensor:
        h = self.conv1(self.norm1(x), silu=True)
        return x + self.conv2(self.norm2(h), silu=True)


def _convolution(weight: Tensor, bias: Tensor, grid: tuple[int, int], products: torch.dtype) -> Stage:
    if weight.shape[-1] == 3:
        return convolution(weight, bias, grid, products)
    dense = Dense(weight.flatten(1).t(), bias)
    return lambda x: dense(x.reshape(-1, x.shape[-1])).view(*x.shape[:3], -1)


def _bias(conv: nn.Conv2d) -> Tensor:
    return conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias.detach()
