"""What a timestep difference s costs: the AD scheduler timed by the protocol of AR-Diffusion's table 2.

50 DDIM steps; 16 frames with s in 0 5 10 15 20 25 50, 128 frames with s in 5 10 25, one video, no given frame. Beside
the seconds stand the network calls and the token-frames: how many frames' tokens went through the network in all. The
paper's seconds are of its own hardware, its 0.6 B parameters and 256x256 frames; compare the ratios to s = 0, not the
seconds. There every call computes the whole video, here only frames that change and those just finished. Time is the
processor's own (all threads) where the model is on the CPU, which other programs disturb less, and wall time on a GPU.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from training.benchmark.dreaming import wait
from worldsim import checkpoint
from worldsim.config import load
from worldsim.diffusion.ad_scheduler import Plan
from worldsim.models.ar_diffusion import ArDiffusion, ArDiffusionConfig, Sampling
from worldsim.runtime import hardware, pick_device, use_threads

PAPER = {
    16: {0: 2.4, 5: 5.2, 10: 7.9, 15: 10.8, 20: 13.6, 25: 16.4, 50: 30.5},
    128: {5: 42.1, 10: 78.0, 25: 184.8},
}
"""Seconds of table 2, by frames and s."""
COLUMNS = ("frames", "s", "calls", "token-frames", "seconds", "ratio", "paper s", "paper ratio")


@dataclass
class Config:
    """``checkpoint`` empty: random weights of ``model``'s size, which cost as much.

    ``frames`` and ``differences`` choose rows of the protocol; a row is timed ``repeats`` times and the least counts.
    """

    checkpoint: str = ""
    model: ArDiffusionConfig = field(default_factory=ArDiffusionConfig)
    frames: list[int] = field(default_factory=lambda: [16, 128])
    differences: list[int] = field(default_factory=lambda: [0, 5, 10, 15, 20, 25, 50])
    steps: int = 50
    repeats: int = 1
    device: str = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.repeats < 1 or not all(f in PAPER for f in self.frames):
            raise ValueError(f"expected repeats of at least 1 and frames of {sorted(PAPER)}, as in the paper")


@dataclass
class Row:
    """``ratio`` is to s = 0 of the same frames, or to the first row where that was not timed, as ``paper_ratio`` is."""

    frames: int
    s: int
    calls: int
    token_frames: int
    seconds: float
    ratio: float
    paper_seconds: float
    paper_ratio: float


@torch.inference_mode()
def run(args: list[str]) -> dict[str, Any]:
    """Time every row; see the module."""
    config = load(Config, args)
    use_threads(config.threads)
    device = pick_device(config.device)
    model = _model(config, device)
    rows: list[Row] = []
    print(_line(COLUMNS))
    _timed(model, 4, 0, 2, device)  # warms up
    for frames in config.frames:
        first: Row | None = None
        for s in (s for s in config.differences if s in PAPER[frames]):
            spent, used = min(
                (_timed(model, frames, s * config.steps / 50, config.steps, device))
                for _ in range(config.repeats)
            )
            calls = Plan(frames, s * config.steps / 50, config.steps).calls
            paper = PAPER[frames][s]
            base = first.seconds if first else spent
            theirs = first.paper_seconds if first else paper
            row = Row(
                frames,
                s,
                calls,
                used,
                round(spent, 3),
                round(spent / base, 2),
                paper,
                round(paper / theirs, 2),
            )
            first = first or row
            rows.append(row)
            print(_line(tuple(asdict(row).values())), flush=True)
    return {
        "checkpoint": config.checkpoint or "random weights",
        "parameters": sum(p.numel() for p in model.denoiser.parameters()),
        "tokens": model.config.autoencoder.tokens,
        "steps": config.steps,
        "clock": "wall" if device.type == "cuda" else "processor",
        "rows": [asdict(row) for row in rows],
        "hardware": hardware(device),
    }


def _model(config: Config, device: torch.device) -> ArDiffusion:
    if config.checkpoint:
        return checkpoint.load_ar_diffusion(config.checkpoint, device).model
    return ArDiffusion(config.model).to(device).eval()


def _timed(
    model: ArDiffusion, frames: int, difference: float, steps: int, device: torch.device
) -> tuple[float, int]:
    """Seconds for one video, and the frames that went through the network."""
    used = 0

    def count(_: Any, given: tuple[torch.Tensor, ...]) -> None:
        nonlocal used
        used += given[0].shape[1]

    c = model.config
    given = torch.zeros(1, 0, c.autoencoder.tokens, c.autoencoder.dim, device=device)
    actions = torch.zeros(1, frames, c.action_dim, device=device)
    hook = model.denoiser.register_forward_pre_hook(count)
    try:
        wait(device)
        clock = time.perf_counter if device.type == "cuda" else time.process_time
        began = clock()
        model.generate(given, actions, Sampling(difference, steps), torch.Generator().manual_seed(0))
        wait(device)
        return clock() - began, used
    finally:
        hook.remove()


def _line(cells: tuple[Any, ...]) -> str:
    return " ".join(str(cell).rjust(max(8, len(name))) for cell, name in zip(cells, COLUMNS, strict=True))
