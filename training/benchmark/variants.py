"""What every memory variant costs: parameters, FLOPs a frame and milliseconds a denoising step, at one size."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from worldsim.config import DenoiserConfig, load
from worldsim.models.denoisers.causal_dit import CausalDiT
from worldsim.models.denoisers.unet3d import UNet3D, UNet3DConfig
from worldsim.models.memory.variants.protocol import MemoryVariantConfig, References, compress
from worldsim.models.memory.variants.registry import compressor_from, variants, way_from
from worldsim.runtime import hardware, use_threads

DENOISERS = ("unet3d", "causal_dit")
COLUMNS = (
    "denoiser",
    "way",
    "compressor",
    "parameters",
    "MFLOPs/frame",
    "ms/step",
    "compress MFLOPs",
    "compress ms",
)


@dataclass
class VariantsConfig:
    """Latents of ``channels`` x ``grid`` x ``grid``, a window, its history and the budget it is compressed to.

    ``seconds`` is how long each variant is timed, at least three steps of it. The U-Net has levels of ``widths``,
    the DiT is ``width`` wide.
    """

    seconds: float = 1.0
    channels: int = 16
    grid: int = 8
    actions: int = 20
    window: int = 16
    history: int = 48
    budget: int = 16
    widths: list[int] = field(default_factory=lambda: UNet3DConfig().widths)
    width: int = 128
    depth: int = 4
    threads: int = 1

    def __post_init__(self) -> None:
        sizes = (self.channels, self.grid, self.actions, self.window, self.history, self.budget, self.threads)
        if min(sizes) < 1:
            raise ValueError(
                "expected channels, grid, actions, window, history, budget and threads of at least 1"
            )


@dataclass
class Cost:
    """One row: parameters of denoiser, way and compressor; a step denoises the window, compression comes once."""

    denoiser: str
    way: str
    compressor: str
    parameters: int
    mflops_per_frame: float
    ms_per_step: float
    compress_mflops: float
    compress_ms: float


@torch.no_grad()
def run(args: list[str]) -> dict[str, Any]:
    """Measure every denoiser without memory and with each variant that the paper defines."""
    config = load(VariantsConfig, args)
    use_threads(config.threads)
    rows = []
    print(_line(COLUMNS))
    for denoiser in DENOISERS:
        for way, compressor in [("none", "none"), *variants()]:
            rows.append(_cost(config, denoiser, way, compressor))
            print(_line(tuple(asdict(rows[-1]).values())), flush=True)
    return {"config": asdict(config), "variants": [asdict(row) for row in rows], "hardware": hardware()}


def _cost(config: VariantsConfig, denoiser: str, way: str, compressor: str) -> Cost:
    grid = (config.grid, config.grid)
    sizes = (config.channels, config.actions, grid)
    modules: list[nn.Module] = []
    z = torch.randn(1, config.window, config.channels, *grid)
    level, actions = torch.rand(1, config.window), torch.randn(1, config.window, config.actions)
    if way == "none":
        net = _denoiser(config, denoiser, 0, 0)

        def step() -> Any:
            return net(z, level, actions)

        squeeze = None
    else:
        memory = MemoryVariantConfig(way, compressor)
        into: Any = way_from(memory, *sizes)
        by: Any = compressor_from(memory, *sizes)
        net = _denoiser(config, denoiser, into.beside_channels, into.memory_width)
        modules += [into, by]
        past = References(
            torch.randn(1, config.history, config.channels, *grid),
            torch.randn(1, config.history, config.actions),
            torch.zeros(1, config.history),
            torch.ones(1, config.history, dtype=torch.bool),
        )
        # Uncompressed, all of the history reaches the denoiser.
        budget = config.history if compressor == "none" else config.budget
        kept = compress(by, past, budget)

        def step() -> Any:
            return into(net, z, level, actions, kept)

        def squeeze() -> Any:
            return compress(by, past, budget)

    modules.append(net)
    compresses = squeeze is not None and compressor != "none"
    return Cost(
        denoiser,
        way,
        compressor,
        sum(p.numel() for module in modules for p in module.parameters()),
        round(_flops(step) / config.window / 1e6, 3),
        round(_milliseconds(step, config.seconds), 2),
        round(_flops(squeeze) / 1e6, 3) if compresses else 0.0,
        round(_milliseconds(squeeze, config.seconds / 4), 2) if compresses else 0.0,
    )


def _denoiser(config: VariantsConfig, name: str, beside: int, memory: int) -> Any:
    if name == "unet3d":
        unet = UNet3DConfig(widths=config.widths)
        return UNet3D(unet, config.channels, config.actions, beside, memory).eval()
    dit = DenoiserConfig(width=config.width, depth=config.depth, heads=4, patch=2)
    grid = (config.grid, config.grid)
    return CausalDiT(
        dit,
        config.channels,
        beside,
        grid,
        config.actions,
        control_dim=config.actions,
        memory_width=memory,
    ).eval()


def _flops(call: Callable[[], Tensor]) -> int:
    """Floating-point operations, two for each multiply-add; attention is counted as its matrix products."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def _milliseconds(call: Callable[[], Tensor], seconds: float) -> float:
    """Median over at least three calls, after one that is not counted."""
    call()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def _line(cells: tuple[Any, ...]) -> str:
    texts = [f"{cell:,}" if isinstance(cell, int | float) else str(cell) for cell in cells]
    return " ".join(
        text.ljust(15) if i < 3 else text.rjust(max(10, len(COLUMNS[i]))) for i, text in enumerate(texts)
    )
