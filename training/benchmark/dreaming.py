"""What the benchmarks of a dream share: its settings, true frames to begin from, and how times are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch

import envs
from training.evaluation.lockstep import Walk
from worldsim import checkpoint
from worldsim.checkpoint import LoadedModel
from worldsim.dream.world import DreamEnv
from worldsim.runtime import pick_device, use_threads

WARM = 8  # the first frames warm caches up and are not counted


@dataclass
class Dreamt:
    """``size`` of the pictures in pixels, 0 for the model's; ``frames`` are timed after ``context`` true ones."""

    checkpoint: str = "blocks"
    frames: int = 200
    context: int = 128
    history: int = 112
    budget: int = 16
    denoising_steps: int = 2
    threads: int = 1
    device: str = "auto"
    seed: int = 930000
    precision: str = "auto"
    size: int = 0


def opened(config: Dreamt) -> tuple[LoadedModel, torch.device]:
    """The checkpoint and its device, after the threads are set."""
    use_threads(config.threads)
    device = pick_device(config.device)
    return checkpoint.load(config.checkpoint, device), device


def played(loaded: LoadedModel, config: Dreamt) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """An explorer in the checkpoint's world: options of a reset with the context, the action vectors that follow it
    (frames + 1, D), and all true frames (n, H, W, 3)."""
    assert envs.__name__  # registers the worlds
    size = config.size or loaded.description.model.size
    env = gymnasium.make(loaded.description.env_id, size=size)
    walk = Walk.played(env, "explore", config.seed, config.context + config.frames)
    env.close()
    known = config.context
    past = {"frames": walk.frames[:known], "actions": walk.actions[: known - 1]}
    return past, walk.actions[known - 1 :], walk.frames


def dream_of(loaded: LoadedModel, config: Dreamt, engine: str, history: int) -> DreamEnv:
    """A dream by an engine that remembers so many frames, at least its window."""
    dream = DreamEnv(
        loaded,
        budget=config.budget,
        denoising_steps=config.denoising_steps,
        engine=engine,
        size=config.size or None,
        precision=config.precision,
    )
    dream.history = max(history, dream.window)
    return dream


def percentiles(ms: list[float]) -> dict[str, Any]:
    """p50, p95, p99, mean and n."""
    return {f"p{q}": round(float(np.percentile(ms, q)), 2) for q in (50, 95, 99)} | {
        "mean": round(float(np.mean(ms)), 2),
        "n": len(ms),
    }


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def print_phases(title: str, phases: dict[str, Any], columns: tuple[str, ...]) -> None:
    """A row for every phase: the columns, and what bounds it."""
    print(f"{title:13s}" + "".join(f"{c.removesuffix('_ms'):>9s}" for c in columns) + "  bound")
    for phase, row in phases.items():
        cells = "".join(f"{row.get(c, ''):>9}" for c in columns)
        print(f"  {phase:11s}{cells}  {row.get('bound', '')}")
