"""Train the generator of a checkpoint on walks: python -m training.train_generator checkpoint=blocks walks=DIR out=RUN

    python -m training.collect_walks checkpoint=blocks out=runs/walks/blocks episodes=1200
    python -m training.train_generator checkpoint=blocks walks=runs/walks/blocks out=runs/generator_blocks seconds=7200

Latents, distances and poses come from the walks; only the generator learns. The same command after a kill goes on where
it stopped; with more ``seconds`` (of training, pauses left out) a run that has ended goes on too. Ends by writing
RUN/checkpoint, the checkpoint given with the generator in it, which `run_demo.py --checkpoint RUN/checkpoint` plays.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from omegaconf import MISSING
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from training.data.episodes import latents_of
from training.data.evidence_clips import ClipConfig, Clips, GeneratorClips
from training.data.walks import read
from training.loop import resume as state
from training.loop.claim import claim
from training.loop.fast import LONGEST, Rates, Weights, optimizers, pace, saving_on_sigterm
from training.loop.finetune import save_part
from training.loop.launch import launch
from training.loop.mirror import mirrored
from training.loop.progress import tell
from training.loop.train import LoopConfig
from training.objectives.generation import STRIDES, Generation, GenerationConfig, draw
from worldsim import checkpoint
from worldsim.checkpoint import Loaded
from worldsim.cli.command import command
from worldsim.config import GeneratorConfig, load
from worldsim.models.world_model import WorldModel

HELD_OUT_SEED = 7


@dataclass
class Config(LoopConfig):
    data: str = ""
    checkpoint: str = MISSING
    walks: str = MISSING
    held_out_walks: int = 16
    compile: bool = True
    clip: ClipConfig = field(default_factory=ClipConfig)
    generation: GenerationConfig = field(default_factory=GenerationConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    rates: Rates = field(default_factory=Rates)


def with_generator(loaded: Loaded[WorldModel], config: GeneratorConfig) -> Loaded[WorldModel]:
    """The checkpoint with a generator: its own, where it has one of this shape, or a new one."""
    old = loaded.model
    if old.config.generates and replace(old.config.generator, strides=config.strides) == config:
        return loaded
    model = WorldModel(replace(old.config, generates=True, generator=config, free_running=False))
    kept = {
        k: v
        for k, v in old.state_dict().items()
        if k in model.state_dict() and not k.startswith("generator.")
    }
    model.load_state_dict(model.state_dict() | kept)
    return Loaded(model, loaded.description, loaded.path)


class Run:
    """One run: what is trained, its average, and the state of both on disk."""

    def __init__(self, config: Config, generator: nn.Module, accelerator: Accelerator, clips: Clips) -> None:
        self.config, self.accelerator, self.clips = config, accelerator, clips
        self.out = Path(config.out)
        self.objective = Generation(generator, config.generation)  # type: ignore[arg-type]
        self.average = {k: v.detach().clone() for k, v in generator.state_dict().items()}
        self.optimizers = optimizers(generator, config.rates)
        self.ema = Weights(self.average)
        self.counters: dict[str, Any] = {"step": 0, "seconds": 0.0}
        self.counters |= state.restore(self.out, self._parts(), self.optimizers) or {}
        self.average = {k: v.to(accelerator.device) for k, v in self.ema.values().items()}

    def _parts(self) -> dict[str, nn.Module]:
        return {"generator": self.objective.generator, "ema": self.ema}

    def save(self) -> None:
        """Write everything a run needs to go on."""
        if self.accelerator.is_main_process:
            self.ema.set(self.average)
            state.save(self.out, self._parts(), self.optimizers, self.counters)

    def losses(
        self, module: nn.Module, clips: GeneratorClips, step: int, seed: int, strided: bool = False
    ) -> dict[str, Tensor]:
        """On one batch, with noise of its own seed; ``strided``: whether some rows ask for few steps."""
        device = self.accelerator.device
        g = torch.Generator().manual_seed((seed * 1_000_003 + step) * 64 + self.accelerator.process_index)
        d = draw(clips.latents.shape, self.config.generation, strided, g)
        with self.accelerator.autocast():
            out: dict[str, Tensor] = module(clips.to(device), d.to(device))
        return out

    def update(self, loss: Tensor, step: int) -> None:
        """One step of both optimizers, and of the average."""
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.objective.parameters(), self.config.rates.clip)
        for o in self.optimizers.values():
            o.step()
            o.zero_grad(set_to_none=True)
        self.update_average(step)

    def update_average(self, step: int) -> None:
        """Polyak average, short at first."""
        keep = min(self.config.rates.ema, (step + 1) / (step + 20))
        with torch.no_grad():
            for name, value in self.objective.generator.state_dict().items():
                self.average[name].lerp_(value, 1 - keep)

    def train(self) -> None:
        """Until the budget of seconds or steps is spent."""
        c, r, main = self.config, self.config.rates, self.accelerator.is_main_process
        wrapped = self.accelerator.prepare(self.objective)
        fast: nn.Module = torch.compile(wrapped, dynamic=False) if c.compile else wrapped  # type: ignore[assignment]
        first = self.counters["step"]
        writer = SummaryWriter(str(self.out / "tensorboard"), purge_step=first or None) if main else None
        batches = self.clips.ahead(c.seed, self.counters["step"], self.accelerator.process_index)
        peak = {name: o.param_groups[0]["lr"] for name, o in optimizers(self.objective.generator, r).items()}
        saved = last = time.monotonic()
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
                share = pace(step, progress, r)
                for name, o in self.optimizers.items():
                    o.param_groups[0]["lr"] = peak[name] * share
                strided = progress >= c.generation.strided_from
                losses = self.losses(fast, next(batches), step, c.seed, strided)
                self.update(losses["loss"], step)
                now = time.monotonic()
                self.counters["step"] = step + 1
                # What compiles in the first step of a start is no training.
                self.counters["seconds"] += min(now - last, LONGEST) if step > first else 0.0
                last = now
                for name, value in losses.items():
                    v = float(value.detach())
                    running[name] = 0.98 * running.get(name, v) + 0.02 * v
                if main:
                    tell(progress, {"step": step + 1, **running})
                if writer and step % c.log_every == 0:
                    for name, mean in running.items():
                        writer.add_scalar(f"train/{name}", mean, step)
                    frames = (step + 1) * c.clip.batch * c.clip.length * self.accelerator.num_processes
                    record = {"step": step + 1, "frames": frames, "seconds": round(self.counters["seconds"])}
                    print(json.dumps(record | {k: round(v, 4) for k, v in running.items()}), flush=True)
                if now - saved > c.save_every:
                    self.save()
                    saved = time.monotonic()
        finally:
            batches.close()  # type: ignore[attr-defined]
            self.save()
            if writer:
                writer.close()
        self.objective.generator.load_state_dict(self.average)


@torch.no_grad()
def held_out(run: Run, clips: Clips, batches: int = 8) -> dict[str, float]:
    """Mean losses on walks that were not trained on, the same for every run."""
    rows = [
        run.losses(run.objective, clips.batch(HELD_OUT_SEED, i), i, HELD_OUT_SEED) for i in range(batches)
    ]
    return {name: round(float(torch.stack([row[name] for row in rows]).mean()), 5) for name in rows[0]}


@command
@mirrored
def main(args: list[str]) -> int:
    """Parse, train, publish.

    Raises:
        FolderInUse: another process trains in ``out``.
    """
    config = load(Config, args)
    torch.set_flush_denormal(True)
    accelerator = launch(config)
    with claim(Path(config.out)) if accelerator.is_main_process else nullcontext():
        return _run(config, accelerator)


def _run(config: Config, accelerator: Accelerator) -> int:
    loaded = with_generator(checkpoint.load(config.checkpoint), config.generator)
    model = loaded.model
    shards = read(config.walks, latents_of(model.autoencoder))
    clips = Clips(shards, model, config.clip)
    others = Clips(shards, model, config.clip)
    held = min(config.held_out_walks, max(1, len(clips) // 4))  # of a handful of walks most are to learn from
    clips.episodes, others.episodes = clips.episodes[:-held] or clips.episodes, others.episodes[-held:]
    generator = model.generator.to(accelerator.device)
    run = Run(config, generator, accelerator, clips)
    with saving_on_sigterm():
        run.train()
    if accelerator.is_main_process:
        result = {
            "steps": run.counters["step"],
            "seconds": round(run.counters["seconds"]),
            "walks": len(clips),
        }
        result["held_out"] = held_out(run, others)
        model.cpu()
        loaded.description.training.pop("rollout", None)  # of a second denoiser, which is no more
        if config.generation.strided and config.generation.strided_from < 1:
            model.config.generator.strides = list(STRIDES)
        save_part(Path(config.out), loaded, "generator", result)
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
