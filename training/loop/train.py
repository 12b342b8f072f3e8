"""The training loop both trainers share: EMA, clipping, a time budget, resuming after a kill at any moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from omegaconf import MISSING
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from training.loop import resume as state
from training.loop.claim import claim
from training.loop.progress import tell


@dataclass
class OptimizerConfig:
    """AdamW with a linear warm-up and a linear decay to ``final`` times the peak at the end of the budget."""

    lr: float = 1e-3
    final: float = 0.02
    warmup: int = 100
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    ema: float = 0.995


@dataclass
class LoopConfig:
    """What every run is told.

    ``data`` and ``held_out`` are folders of episodes; without the second the last twentieth of the first is held out.
    ``out`` is the run's own folder. ``threads`` is 0 for torch's own choice. ``precision`` of matrix products: fp32,
    bf16 (the weights stay fp32), or auto, bf16 where the hardware is faster at it. ``seconds`` is the wall-clock budget
    summed over resumes; ``steps`` ends the run earlier where it is not 0.
    """

    data: str = MISSING
    held_out: str = ""
    out: str = MISSING
    seed: int = 0
    threads: int = 0
    precision: str = "auto"
    seconds: float = 900.0
    steps: int = 0
    save_every: float = 60.0
    sample_every: float = 120.0
    log_every: int = 20


def train(
    model: nn.Module,
    loss_of: Callable[[nn.Module, int], dict[str, Tensor]],
    out: Path,
    accelerator: Accelerator,
    optimizer_config: OptimizerConfig,
    config: LoopConfig,
    sample: Callable[[nn.Module, SummaryWriter, int], None] | None = None,
    rates: dict[str, float] | None = None,
) -> tuple[nn.Module, dict[str, Any]]:
    """Minimise ``loss_of(model, step)["loss"]``; the EMA model and the counters (steps, seconds, last losses).

    ``loss_of`` draws its batch from the step number and the process rank, so a resumed run goes on with the
    batches that it would have seen. ``rates`` multiply the learning rate of the parts of the model that they name.

    Raises:
        FolderInUse: another process trains in ``out``.
    """
    with claim(out) if accelerator.is_main_process else nullcontext():
        return _train(model, loss_of, out, accelerator, optimizer_config, config, sample, rates)


def _train(
    model: nn.Module,
    loss_of: Callable[[nn.Module, int], dict[str, Tensor]],
    out: Path,
    accelerator: Accelerator,
    o: OptimizerConfig,
    config: LoopConfig,
    sample: Callable[[nn.Module, SummaryWriter, int], None] | None,
    rates: dict[str, float] | None,
) -> tuple[nn.Module, dict[str, Any]]:
    # Sharp attention leaves denormal numbers behind, which cost a CPU a seventh of a step (training/LOG.md).
    torch.set_flush_denormal(True)
    groups = _groups(model, rates or {})
    optimizer = torch.optim.AdamW(groups, o.lr, betas=o.betas, weight_decay=o.weight_decay)
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(o.ema), use_buffers=True)
    counters = state.restore(out, {"model": model, "ema": ema}, optimizer) or {"step": 0, "seconds": 0.0}
    ema.to(accelerator.device)
    wrapped, fast = accelerator.prepare(model, optimizer)
    main = accelerator.is_main_process
    writer = SummaryWriter(str(out / "tensorboard"), purge_step=counters["step"] or None) if main else None
    done, total = round(counters["seconds"]), round(config.seconds)
    bar = tqdm(total=total, initial=done, unit="s", disable=not main, mininterval=2.0)
    saved = sampled = time.monotonic()
    began, running = saved - counters["seconds"], dict[str, float](counters.get("losses") or {})

    def save() -> None:
        if main:
            counters["losses"] = dict(running)
            state.save(out, {"model": accelerator.unwrap_model(wrapped), "ema": ema}, optimizer, counters)

    try:
        while True:
            step = counters["step"]
            if (progress := _progress(config, time.monotonic() - began, step, accelerator)) >= 1:
                break
            _set_rates(optimizer, o, step, progress)
            losses = loss_of(wrapped, step)
            accelerator.backward(losses["loss"])
            accelerator.clip_grad_norm_(wrapped.parameters(), o.clip)
            fast.step()
            fast.zero_grad(set_to_none=True)
            _follow(ema, accelerator.unwrap_model(wrapped), step >= o.warmup)
            counters["step"], counters["seconds"] = step + 1, time.monotonic() - began
            tell(progress, {"step": step + 1} | _average(running, of_all(losses, accelerator)))
            now = time.monotonic()
            if writer and step % config.log_every == 0:
                _log(writer, bar, running, step, min(counters["seconds"], config.seconds))
            if now - saved > config.save_every:
                save()
                saved = now
            if writer and sample and now - sampled > config.sample_every:
                sample(ema.module, writer, step)
                sampled = now
    finally:
        save()  # also on Ctrl-C: what was learned since the last save is kept
        bar.close()
        if writer:
            writer.close()
    accelerator.wait_for_everyone()
    return ema.module, counters


def _progress(config: LoopConfig, elapsed: float, step: int, accelerator: Accelerator) -> float:
    """How much of the time or of the steps is over, from 0; the first process decides, so that all stop at one step."""
    progress = max(elapsed / config.seconds, step / config.steps if config.steps else 0.0)
    return float(broadcast(torch.tensor([progress], device=accelerator.device)).item())


def _set_rates(optimizer: torch.optim.Optimizer, o: OptimizerConfig, step: int, progress: float) -> None:
    """A linear rise over the warmup, then a linear fall to the final share."""
    for group in optimizer.param_groups:
        rate = o.lr * group["rate"]
        group["lr"] = rate * min(1.0, (step + 1) / o.warmup) * (1 - (1 - o.final) * progress)


def of_all(losses: dict[str, Tensor], accelerator: Accelerator) -> dict[str, Tensor]:
    """The losses of the whole batch: means over the processes, each of which has as many rows."""
    if accelerator.num_processes == 1:
        return losses
    means = accelerator.reduce(torch.stack([x.detach().float() for x in losses.values()]), "mean")
    return dict(zip(losses, means.unbind(), strict=True))


def _average(running: dict[str, float], losses: dict[str, Tensor]) -> dict[str, float]:
    """Running means of the losses, over about fifty steps."""
    for name, value in losses.items():
        value_now = float(value.detach())
        running[name] = running.get(name, value_now) * 0.98 + 0.02 * value_now
    return running


def _follow(ema: AveragedModel, model: nn.Module, averaging: bool) -> None:
    """The average after a step; what was learnt during the warmup is not averaged."""
    if averaging:
        ema.update_parameters(model)
    else:
        ema.module.load_state_dict(model.state_dict())


def _log(writer: SummaryWriter, bar: Any, running: dict[str, float], step: int, seconds: float) -> None:
    """The running means to TensorBoard and to the bar."""
    for name, mean in running.items():
        writer.add_scalar(f"train/{name}", mean, step)
    bar.set_postfix({"step": step, **{k: f"{v:.4f}" for k, v in running.items()}}, refresh=False)
    bar.update(round(seconds) - bar.n)


def _groups(model: nn.Module, rates: dict[str, float]) -> list[dict[str, Any]]:
    """The weights that go at each rate, those of no named part at 1."""
    by_rate: dict[float, list[nn.Parameter]] = {1.0: []}
    for name, parameter in model.named_parameters():
        rate = next((r for part, r in rates.items() if name.startswith(part + ".")), 1.0)
        by_rate.setdefault(rate, []).append(parameter)
    return [{"params": some, "rate": rate} for rate, some in by_rate.items() if some]
