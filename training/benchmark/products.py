"""Products and convolutions of the size of a dreamt frame's, by every way that this processor has."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from worldsim.config import load
from worldsim.engine.cpu.convolution import TiledConv3x3
from worldsim.engine.cpu.linear import Bf16Product, Fp32Product, TiledProduct
from worldsim.engine.cpu.winograd import WinogradConv3x3
from worldsim.engine.kernels import tiles
from worldsim.runtime import hardware

LINEAR = ((16, 256, 256), (16, 256, 768), (16, 256, 1024), (16, 1024, 256), (32, 256, 1024), (32, 1024, 256))
"""Rows, numbers in and out."""
CONVOLUTIONS = ((96, 96, 8), (96, 96, 16), (48, 48, 32), (24, 24, 64), (12, 12, 128))
"""Channels in and out, side."""


@dataclass
class ProductsConfig:
    """``layers`` of each size, one after the other, so that a weight comes from beyond the caches as in a frame;
    ``repeats`` rounds, of which the median counts."""

    layers: int = 60
    repeats: int = 9

    def __post_init__(self) -> None:
        if min(self.layers, self.repeats) < 1:
            raise ValueError("expected layers and repeats of at least 1")


@torch.inference_mode()
def run(args: list[str]) -> dict[str, Any]:
    """Microseconds of one layer by each way, on one thread: what comes in and goes out is single precision."""
    config = load(ProductsConfig, args)
    torch.set_num_threads(1)
    report: dict[str, Any] = {"products": {}, "convolutions": {}, "tiles": tiles.available()}
    for rows, inside, outside in LINEAR:
        found = {
            name: _microseconds(make, (inside, outside), torch.randn(rows, inside), config)
            for name, make in _products(rows).items()
        }
        report["products"][f"{rows} x {inside} x {outside}"] = found
        print(f"{rows} rows by {inside} x {outside}: {found}")
    for inside, outside, side in CONVOLUTIONS:
        found = {
            name: _microseconds(make, (outside, inside, 3, 3), torch.randn(1, side, side, inside), config)
            for name, make in _convolutions(side).items()
        }
        report["convolutions"][f"{inside} to {outside}, {side} x {side}"] = found
        print(f"{inside} to {outside} channels at {side} x {side}: {found}")
    return {**report, "layers": config.layers, "hardware": hardware()}


Make = Callable[[Tensor], Callable[[Tensor], Tensor]]


def _products(rows: int) -> dict[str, Make]:
    found: dict[str, Make] = {"fp32": Fp32Product, "bf16 by oneDNN": lambda weight: Bf16Product(weight, rows)}
    return found | ({"bf16 by tiles": TiledProduct} if tiles.available() else {})


def _convolutions(side: int) -> dict[str, Make]:
    def winograd(products: torch.dtype) -> Make:
        return lambda weight: WinogradConv3x3(weight, torch.zeros(len(weight)), (side, side), products)

    found: dict[str, Make] = {
        "fp32 by Winograd": winograd(torch.float32),
        "bf16 by Winograd": winograd(torch.bfloat16),
    }
    if tiles.available():
        found["bf16 by tiles"] = lambda weight: TiledConv3x3(weight, torch.zeros(len(weight)), (side, side))
    return found


def _microseconds(make: Make, weight: tuple[int, ...], x: Tensor, config: ProductsConfig) -> float:
    layers, rounds = [make(torch.randn(weight)) for _ in range(config.layers)], []
    for i in range(config.repeats + 1):
        began = time.perf_counter()
        for layer in layers:
            layer(x)
        if i:  # the first one warms up
            rounds.append((time.perf_counter() - began) / len(layers) * 1e6)
    return round(statistics.median(rounds), 1)
