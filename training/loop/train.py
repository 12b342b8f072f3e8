"""The loop of every trainer: clipping, averages, a budget of seconds, resuming after a kill."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from omegaconf import MISSING
from torch import Tensor, nn
from tqdm import tqdm

from training.loop import resume as state
from training.loop.adamw import AdamW, OptimizerConfig, check_numbers
from training.loop.claim import claim
from training.loop.cluster import LOCAL, Place
from training.loop.progress import preparation, tell
from training.loop.trackers import TENSORBOARD, Writer, check, open_writer
from worldsim.config import ConfigError

LONGEST = 60.0
"""Seconds that one step counts at most: a run that was stopped meanwhile has not trained."""
LEAST = {"seed": 0, "threads": 0, "seconds": 0, "steps": 0, "save_every": 0, "log_every": 1}
"""The least that the numbers of :class:`LoopConfig` may be; all are finite."""
SEEDS = 2**63


class Diverged(ValueError):
    """A training whose loss or weights are no numbers any more."""


@dataclass
class LoopConfig:
    """What every run is told.

    ``data`` and ``held_out`` are folders of episodes; without the second the last twentieth of the first is held out.
    ``out`` is the run's own folder, and ``latents`` the one where encoded episodes are kept, OUT/latents where none is
    named; runs over one autoencoder may share it. ``threads`` is 0 for torch's own choice. ``precision`` of matrix
    products: fp32, bf16 (the weights stay fp32), or auto, bf16 where the hardware is faster at it. ``seconds`` is the
    wall-clock budget summed over resumes; ``steps`` ends the run earlier where it is not 0. ``tracker``:
    tensorboard (in ``out``), wandb, mlflow or none. ``cluster``: where episodes are encoded before training, local or a
    Ray cluster (docs/cluster.md).
    """

    data: str = MISSING
    held_out: str = ""
    out: str = MISSING
    latents: str = ""
    seed: int = 0
    threads: int = 0
    precision: str = "auto"
    seconds: float = 900.0
    steps: int = 0
    save_every: float = 60.0
    sample_every: float = 120.0
    log_every: int = 20
    tracker: str = TENSORBOARD
    cluster: str = LOCAL

    def __post_init__(self) -> None:
        check_limits(self)
        check(self.tracker)
        Place(self.cluster)

    @property
    def encoded(self) -> Path:
        """The folder where encoded episodes are kept."""
        return Path(self.latents) if self.latents else Path(self.out) / "latents"


def check_limits(config: LoopConfig) -> None:
    """Whether a run can have these numbers.

    Raises:
        ConfigError: one is too small, not finite, or a seed that torch does not take.
    """
    check_numbers(config, LEAST | {"sample_every": -math.inf})
    if config.seed >= SEEDS:
        raise ConfigError(f"seed: expected less than 2**63, found {config.seed}")


class Learner(Protocol):
    """What the loop trains: ``parts`` and ``optimizers``, by name, are its state on disk, and so are ``counters``;
    ``learned`` weights are clipped together to a norm of ``clip``."""

    parts: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    learned: list[nn.Parameter]
    clip: float
    counters: dict[str, Any]

    def set_rates(self, step: int, progress: float) -> None:
        """The learning rates of a step, when ``progress`` of the budget, 0 to 1, is spent."""

    def follow(self, step: int) -> None:
        """Take the weights after a step into their average."""


def run(
    learner: Learner,
    losses_of: Callable[[int, float], dict[str, Tensor]],
    config: LoopConfig,
    accelerator: Accelerator,
    sample: Callable[[Writer, int], None] | None = None,
    lines: bool = False,
) -> None:
    """Minimise ``losses_of(step, progress)["loss"]`` until the budget of seconds or steps is spent.

    Args:
        sample: what else the tracker is shown from time to time.
        lines: progress as lines of JSON instead of a bar.

    Raises:
        FolderInUse: another process trains in ``config.out``.
        ConfigError: no time to train in, or a number that no run can have.
        Diverged: the loss or the weights became NaN or infinite; the state that was saved before stays.
    """
    check_limits(config)
    if config.seconds <= 0:
        raise ConfigError(f"seconds: expected more than 0, found {config.seconds:g}")
    with claim(Path(config.out)) if accelerator.is_main_process else nullcontext():
        learner.counters |= state.restore(Path(config.out), learner.parts, learner.optimizers) or {}
        _run(learner, losses_of, config, accelerator, sample, lines)
    accelerator.wait_for_everyone()


def _run(
    learner: Learner,
    losses_of: Callable[[int, float], dict[str, Tensor]],
    config: LoopConfig,
    accelerator: Accelerator,
    sample: Callable[[Writer, int], None] | None,
    lines: bool,
) -> None:
    # Sharp attention leaves denormal numbers behind, which cost a CPU a seventh of a step (training/LOG.md).
    torch.set_flush_denormal(True)
    main, counters = accelerator.is_main_process, learner.counters
    counters["seconds"] += preparation(config.seconds)
    first = counters["step"]
    writer = open_writer(config, accelerator, first)
    total, done = round(config.seconds), round(counters["seconds"])
    bar = tqdm(total=total, initial=done, unit="s", disable=lines or not main, mininterval=2.0)
    saved = sampled = last = time.monotonic()
    running: dict[str, float] = dict(counters.get("losses") or {})
    try:
        while (progress := _progress(config, counters, accelerator)) < 1:
            step = counters["step"]
            learner.set_rates(step, progress)
            losses = losses_of(step, progress)
            update(learner, losses["loss"], step, accelerator)
            now = time.monotonic()
            counters["step"] = step + 1
            # What compiles in the first step of a start is no training.
            counters["seconds"] += min(now - last, LONGEST) if step > first else 0.0
            last = now
            _average(running, of_all(losses, accelerator))
            if not math.isfinite(running["loss"]):
                raise _diverged("loss", config, step)
            if main:
                tell(progress, {"step": step + 1, **running})
            if main and step % config.log_every == 0:
                _log(writer, None if lines else bar, running, counters, step)
            if now - saved > config.save_every:
                _save(learner, running, config, main)
                saved = time.monotonic()
            if writer and sample and now - sampled > config.sample_every:
                sample(writer, step)
                sampled = time.monotonic()
    finally:
        try:
            if math.isfinite(running.get("loss", 0.0)):
                # On Ctrl-C too: what was learned since the last one is kept.
                _save(learner, running, config, main)
        finally:
            bar.close()
            if writer:
                writer.close()


def update(learner: Learner, loss: Tensor, step: int, accelerator: Accelerator) -> None:
    """One step down the gradient, and of the average."""
    accelerator.backward(loss)
    accelerator.clip_grad_norm_(learner.learned, learner.clip)
    for optimizer in learner.optimizers.values():
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    learner.follow(step)


def _progress(config: LoopConfig, counters: dict[str, Any], accelerator: Accelerator) -> float:
    """How much of the time or of the steps is over, from 0; the first process decides, so that all stop at one step."""
    by_steps = counters["step"] / config.steps if config.steps else 0.0
    progress = max(counters["seconds"] / config.seconds, by_steps)
    return float(broadcast(torch.tensor([progress], device=accelerator.device)).item())


def _average(running: dict[str, float], losses: dict[str, Tensor]) -> None:
    """Running means of the losses, over about fifty steps."""
    for name, value in losses.items():
        value_now = float(value.detach())
        running[name] = running.get(name, value_now) * 0.98 + 0.02 * value_now


def _log(
    writer: Writer | None, bar: Any, running: dict[str, float], counters: dict[str, Any], step: int
) -> None:
    """The running means to the tracker, and to the bar or as a line of JSON."""
    for name, mean in running.items() if writer else ():
        assert writer is not None
        writer.add_scalar(f"train/{name}", mean, step)
    if bar is None:
        counted = {name: round(value) for name, value in counters.items() if name != "losses"}
        print(json.dumps(counted | {name: round(mean, 4) for name, mean in running.items()}), flush=True)
    else:
        bar.set_postfix({"step": step, **{k: f"{v:.4f}" for k, v in running.items()}}, refresh=False)
        bar.update(min(round(counters["seconds"]), bar.total) - bar.n)


def _save(learner: Learner, running: dict[str, float], config: LoopConfig, main: bool) -> None:
    """Everything that a run needs to go on, if the weights are numbers: a finite loss can have had no such gradient.

    Raises:
        Diverged: they are none.
    """
    norms = [p.detach().abs().max().float() for p in learner.learned if p.numel()]
    if norms and not bool(torch.stack(norms).isfinite().all()):
        raise _diverged("weights", config, learner.counters["step"] - 1)
    learner.counters["losses"] = dict(running)
    if main:
        state.save(Path(config.out), learner.parts, learner.optimizers, learner.counters)


def _diverged(what: str, config: LoopConfig, step: int) -> Diverged:
    """The sentence for a loss or for weights that are no numbers."""
    file = Path(config.out) / state.FILE
    kept = f"{file}, saved before, is kept" if file.exists() else "nothing was saved"
    rate = "rates.muon and rates.adamw" if hasattr(config, "rates") else "optimizer.lr"
    return Diverged(
        f"the {what} became NaN or infinite at step {step}; {kept}; lower {rate}, or begin anew in another out= "
        "where what it goes on from is damaged"
    )


def train(
    model: nn.Module,
    loss_of: Callable[[nn.Module, int], dict[str, Tensor]],
    accelerator: Accelerator,
    optimizer: OptimizerConfig,
    config: LoopConfig,
    sample: Callable[[nn.Module, Writer, int], None] | None = None,
    rates: dict[str, float] | None = None,
    blocks: tuple[str, ...] = (),
) -> tuple[nn.Module, dict[str, Any]]:
    """Minimise ``loss_of(model, step)["loss"]`` by AdamW, and the matrices of ``blocks`` by Muon where it has a rate.

    Returns the EMA model and the counters (steps, seconds, last losses).
    ``loss_of`` draws its batch from the step number and the process rank, so a resumed run goes on with the
    batches that it would have seen. ``rates`` multiply the learning rate of the parts of the model that they name.

    Raises:
        FolderInUse: another process trains in ``config.out``.
        Diverged: as :func:`run`.
    """
    learner = AdamW(model.to(accelerator.device), optimizer, rates or {}, blocks)
    wrapped, average = accelerator.prepare(model), learner.ema.module

    def of_average(writer: Writer, step: int) -> None:
        if sample:
            sample(average, writer, step)

    run(learner, lambda step, _: loss_of(wrapped, step), config, accelerator, of_average)
    return average, learner.counters


def of_all(losses: dict[str, Tensor], accelerator: Accelerator) -> dict[str, Tensor]:
    """The losses of the whole batch: means over the processes, each of which has as many rows."""
    if accelerator.num_processes == 1:
        return losses
    means = accelerator.reduce(torch.stack([x.detach().float() for x in losses.values()]), "mean")
    return dict(zip(losses, means.unbind(), strict=True))
