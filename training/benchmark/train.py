"""Frames a second of the trainers: a generator's beside the one for memory and denoiser together, in one run.

Both train a model of the checkpoint's shape from its weights, each in its own way and at its own batch, on walks that
are played for it (``frames``: whole clips, every frame of which is a target). ``share`` is what part of the machine's
matrix rate, bf16 products of its own measured in the same run, the generator's own products come to.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from training import collect_walks
from training.collect import CollectConfig, collect
from training.data.clips import draw
from training.data.episodes import latent_episodes, open_episodes
from training.data.evidence_clips import Clips
from training.data.prefetch import ahead
from training.data.returning_views import draw_reads, readable
from training.data.walks import read
from training.loop.fast import Muon
from training.loop.train import update
from training.train import generator as train_generator
from training.train.denoiser import Config as DenoiserRun
from training.train.denoiser import Objective
from training.train.generator import Batches, with_generator
from worldsim import checkpoint
from worldsim.config import GeneratorConfig, load
from worldsim.models.world_model import WorldModel
from worldsim.runtime import hardware, use_threads

SEED = 4_000_000


@dataclass
class Config:
    """``steps`` of each trainer are timed, after ``warmup`` ones; ``old=false`` leaves the other trainer out."""

    checkpoint: str = "blocks"
    env: str = "blocks"
    steps: int = 12
    warmup: int = 3
    threads: int = 2
    old: bool = True
    compile: bool = True
    generator: GeneratorConfig = field(default_factory=lambda: GeneratorConfig(window=8))
    walks: int = 16


def run(args: list[str]) -> dict[str, Any]:
    """Play, train both, compare; see the module."""
    config = load(Config, args)
    use_threads(config.threads)
    torch.set_flush_denormal(True)
    with tempfile.TemporaryDirectory() as folder:
        found = {"generator": _generator(config, Path(folder))}
        if config.old:
            found["denoiser"] = _denoiser(config, Path(folder))
    rate = matrix_rate()
    flops = found["generator"].pop("flops")
    frames = found["generator"]["frames_per_second"]
    out: dict[str, Any] = found | {
        "matrix_gflops": round(rate, 1),
        "share": float(f"{frames * flops / 1e9 / rate:.3g}"),
        "threads": config.threads,
        "hardware": hardware(),
    }
    if config.old:
        out["ratio"] = round(frames / found["denoiser"]["frames_per_second"], 2)
    return out


def _timed(step: Callable[[int], None], config: Config, frames: int) -> dict[str, float]:
    for i in range(config.warmup):
        step(i)
    spent = []
    for i in range(config.steps):
        began = time.perf_counter()
        step(config.warmup + i)
        spent.append(time.perf_counter() - began)
    rates = sorted(frames / s for s in spent)
    return {
        "frames_per_second": round(frames * len(spent) / sum(spent), 1),
        "slowest": round(rates[0], 1),
        "fastest": round(rates[-1], 1),
        "steps": len(spent),
    }


def _generator(config: Config, folder: Path) -> dict[str, float]:
    played = collect_walks.Config(
        checkpoint=config.checkpoint, out=str(folder / "walks"), episodes=config.walks, seed=SEED
    )
    for first in range(0, played.episodes, played.shard):
        collect_walks.shard(played, first)
    use_threads(config.threads)
    loaded = with_generator(checkpoint.load(config.checkpoint), config.generator)
    run = train_generator.Config(
        checkpoint=config.checkpoint, walks=played.out, out=str(folder / "run"), generator=config.generator
    )
    clips = Clips(read(Path(played.out)), loaded.model, run.clip)
    generator = loaded.model.generator
    accelerator, learner = Accelerator(mixed_precision="bf16"), Muon(generator, run.rates)
    batches = Batches(generator, run, accelerator)
    fast: Any = torch.compile(batches.objective, dynamic=False) if config.compile else batches.objective
    with ahead(lambda step: clips.batch(0, step)) as batch_of:
        found = _timed(
            lambda i: update(learner, batches.losses(fast, batch_of(i), i, 0)["loss"], i, accelerator),
            config,
            run.clip.batch * run.clip.length,
        )
    weights = sum(p.numel() for n, p in generator.named_parameters() if p.ndim == 2 and "blocks" in n)
    # Three products for each weight and token: forward, and two backward.
    return found | {"flops": 6.0 * weights * generator.tokens}


def _denoiser(config: Config, folder: Path) -> dict[str, float]:
    data = folder / "episodes"
    collect(CollectConfig(env=config.env, out=str(data), policy="mixed", episodes=4, workers=1, seed=SEED))
    loaded = checkpoint.load(config.checkpoint)
    model = loaded.model
    if model.config.generates:
        model = WorldModel(replace(model.config, generates=False))
        model.autoencoder.load_state_dict(loaded.model.autoencoder.state_dict())
    model.autoencoder.requires_grad_(False)
    run = DenoiserRun(data=str(data), out=str(folder / "old"), autoencoder="")
    episodes = latent_episodes(
        open_episodes(data), model.autoencoder, folder / "latents", torch.device("cpu"), quiet=True
    )
    objective = Objective(model, run.objective)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-4)

    def step(i: int) -> None:
        clip, noise = draw(episodes, run.clip, 0, i, 0, torch.device("cpu"))
        reads = draw_reads(model, episodes, run.reads, 0, i, 0) if readable(episodes) else None
        with torch.autocast("cpu", torch.bfloat16):
            loss = objective(clip, noise, reads=reads)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return _timed(step, config, run.clip.batch * run.clip.length)


def matrix_rate(side: int = 1024, repeats: int = 20) -> float:
    """Gigaflops a second of bf16 products of square matrices, with the threads that torch has."""
    a, b = (torch.randn(side, side, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    began = time.perf_counter()
    for _ in range(repeats):
        a @ b
    return 2 * side**3 * repeats / (time.perf_counter() - began) / 1e9
