"""The loop of trainers over walks: Muon and AdamW, averaged weights, a budget of seconds, resumed after a kill."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn

from training.loop import resume as state
from training.loop.progress import tell
from training.loop.trackers import open_writer
from training.loop.train import LoopConfig

LONGEST = 60.0
"""Seconds that one step counts at most: a run that was stopped meanwhile has not trained."""


@dataclass
class Rates:
    """Muon (Jordan et al. 2024) for the matrices of the blocks, AdamW for all else; both rise over ``warmup`` steps and
    fall to nothing over the last ``cooldown`` of the budget."""

    muon: float = 0.02
    adamw: float = 1e-3
    weight_decay: float = 0.01
    warmup: int = 50
    cooldown: float = 0.3
    clip: float = 1.0
    ema: float = 0.998


def optimizers(network: nn.Module, rates: Rates, blocks: str = "blocks.") -> dict[str, torch.optim.Optimizer]:
    """Muon over the matrices of the part whose name begins with ``blocks``, AdamW over all other weights that learn."""
    learned = {n: p for n, p in network.named_parameters() if p.requires_grad}
    matrices = [p for n, p in learned.items() if p.ndim == 2 and n.startswith(blocks) and "bias" not in n]
    chosen = {id(p) for p in matrices}
    others = [p for p in learned.values() if id(p) not in chosen]
    return {
        "muon": torch.optim.Muon(matrices, lr=rates.muon, weight_decay=rates.weight_decay),
        "adamw": torch.optim.AdamW(
            others, lr=rates.adamw, betas=(0.9, 0.95), weight_decay=rates.weight_decay
        ),
    }


def pace(step: int, progress: float, rates: Rates) -> float:
    """The share of the peak learning rate at a step."""
    return min(1.0, (step + 1) / rates.warmup) * min(1.0, max(0.0, (1 - progress) / rates.cooldown))


class Weights(nn.Module):
    """Weights by name that :mod:`training.loop.resume` saves and restores."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        for name, value in weights.items():
            self.register_buffer(name.replace(".", "/"), value.clone())

    def values(self) -> dict[str, Tensor]:
        """Name by name."""
        return {name.replace("/", "."): value.clone() for name, value in self.named_buffers()}

    def set(self, weights: dict[str, Tensor]) -> None:
        """Take over other values."""
        for name, value in weights.items():
            self.get_buffer(name.replace(".", "/")).copy_(value)


@contextmanager
def saving_on_sigterm() -> Iterator[None]:
    """While it lasts, SIGTERM ends a run as Ctrl-C does, so that what was learned is saved."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class FastRun:
    """One run: a network, its average, and the state of both on disk.

    Args:
        network: what learns and what is averaged, by the weights that want a gradient.
        blocks: how the names of the weights begin whose matrices Muon moves.
    """

    def __init__(
        self,
        config: LoopConfig,
        rates: Rates,
        network: nn.Module,
        accelerator: Accelerator,
        blocks: str = "blocks.",
    ) -> None:
        self.config, self.rates, self.network, self.accelerator = config, rates, network, accelerator
        self.out, self.blocks = Path(config.out), blocks
        self.learned = {n: p for n, p in network.named_parameters() if p.requires_grad}
        self.average = {n: p.detach().clone() for n, p in self.learned.items()}
        self.optimizers = optimizers(network, rates, blocks)
        self.mine, self.ema = Weights(self.average), Weights(self.average)
        self.counters: dict[str, Any] = {"step": 0, "seconds": 0.0, "frames": 0}
        self.counters |= (
            state.restore(self.out, {"network": self.mine, "ema": self.ema}, self.optimizers) or {}
        )
        self.take(self.mine.values())
        self.average = {k: v.to(accelerator.device) for k, v in self.ema.values().items()}

    @torch.no_grad()
    def take(self, weights: dict[str, Tensor]) -> None:
        """Give the network these weights."""
        for name, value in weights.items():
            self.learned[name].copy_(value)

    def save(self) -> None:
        """Write everything a run needs to go on."""
        if self.accelerator.is_main_process:
            self.mine.set({n: p.detach() for n, p in self.learned.items()})
            self.ema.set(self.average)
            state.save(self.out, {"network": self.mine, "ema": self.ema}, self.optimizers, self.counters)

    @torch.no_grad()
    def update_average(self, step: int) -> None:
        """Polyak average, short at first."""
        keep = min(self.rates.ema, (step + 1) / (step + 20))
        for name, value in self.learned.items():
            self.average[name].lerp_(value.detach(), 1 - keep)

    def train(self, losses_of: Callable[[int], tuple[dict[str, Tensor], int]]) -> None:
        """Until the budget of seconds or steps is spent; the network has its average then.

        Args:
            losses_of: losses of a step by name, ``loss`` what is minimised, and how many frames it saw.
        """
        c, r, main = self.config, self.rates, self.accelerator.is_main_process
        writer = open_writer(c, self.accelerator, self.counters["step"])
        peak = {name: o.param_groups[0]["lr"] for name, o in optimizers(self.network, r, self.blocks).items()}
        saved = last = time.monotonic()
        first = self.counters["step"]
        running: dict[str, float] = {}
        try:
            while True:
                progress = self.counters["seconds"] / c.seconds
                if c.steps:
                    progress = max(progress, self.counters["step"] / c.steps)
                progress = float(broadcast(torch.tensor([progress], device=self.accelerator.device)).item())
                if progress >= 1:
                    break
                step = self.counters["step"]
                for name, o in self.optimizers.items():
                    o.param_groups[0]["lr"] = peak[name] * pace(step, progress, r)
                losses, frames = losses_of(step)
                self.accelerator.backward(losses["loss"])
                self.accelerator.clip_grad_norm_(list(self.learned.values()), r.clip)
                for o in self.optimizers.values():
                    o.step()
                    o.zero_grad(set_to_none=True)
                self.update_average(step)
                now = time.monotonic()
                self.counters["step"] = step + 1
                self.counters["frames"] += frames * self.accelerator.num_processes
                # What compiles in the first step of a start is no training.
                self.counters["seconds"] += min(now - last, LONGEST) if step > first else 0.0
                last = now
                for name, value in losses.items():
                    v = float(value.detach())
                    running[name] = 0.98 * running.get(name, v) + 0.02 * v
                if main:
                    tell(progress, {"step": step + 1, **running})
                if main and step % c.log_every == 0:
                    for name, mean in running.items() if writer else ():
                        assert writer is not None
                        writer.add_scalar(f"train/{name}", mean, step)
                    line = {k: round(v) for k, v in self.counters.items()}
                    print(json.dumps(line | {k: round(v, 4) for k, v in running.items()}), flush=True)
                if now - saved > c.save_every:
                    self.save()
                    saved = time.monotonic()
        finally:
            self.save()
            if writer:
                writer.close()
        self.take(self.average)
