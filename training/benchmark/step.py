"""What one dreamt frame costs: milliseconds of each phase, alone and beside its forgetful twin.

``fraction`` says how far from the limit it is: the share that a step reaches of the machine's own rate at a large fp32
matrix product on the same threads. The phases under ``with_twin`` are of one pass that dreams both.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

import envs
from envs import policies
from worldsim import checkpoint
from worldsim.actions import vector
from worldsim.checkpoint import LoadedModel
from worldsim.config import load
from worldsim.dream import DreamEnv
from worldsim.runtime import hardware, pick_device


@dataclass
class Config:
    checkpoint: str = "blocks"
    frames: int = 200
    context: int = 128
    history: int = 112
    budget: int = 16
    denoising_steps: int = 2
    threads: int = 1
    device: str = "auto"
    seed: int = 930000


def run(args: list[str]) -> dict[str, Any]:
    """Time ``frames`` steps after ``context`` true frames of the checkpoint's own world."""
    config = load(Config, args)
    if config.threads:
        torch.set_num_threads(config.threads)
    device = pick_device(config.device)
    loaded = checkpoint.load(config.checkpoint, device)
    frames, actions = _played(loaded, config)
    past = {"frames": frames[: config.context], "actions": list(actions[: config.context - 1])}
    found: dict[str, Any] = {}
    for name, histories in (("one", [config.history]), ("with_twin", [config.history, 0])):
        dreams = [_dream(loaded, config, history) for history in histories]
        for dream in dreams:
            dream.reset(seed=0, options=past)
        found[name] = _timed(dreams, actions[config.context - 1 :], device)
        _print(name, found[name])
    found["correct_ms"] = _corrected(dreams[0], frames[-16:])
    operations = _operations(loaded, config, past, actions[config.context - 1])
    rate = matrix_rate(device)
    seconds = found["one"]["step"]["p50"] / 1e3
    return {
        "checkpoint": config.checkpoint,
        "history": config.history,
        "budget": config.budget,
        "denoising_steps": config.denoising_steps,
        **found,
        "gflop": round(operations / 1e9, 3),
        "gflop_s": round(operations / 1e9 / seconds, 1),
        "matrix_gflop_s": round(rate / 1e9, 1),
        "fraction": round(operations / seconds / rate, 3),
        "hardware": hardware(device),
    }


def _dream(loaded: LoadedModel, config: Config, history: int) -> DreamEnv:
    dream = DreamEnv(loaded, budget=config.budget, denoising_steps=config.denoising_steps)
    dream.history = max(history, dream.window)
    return dream


def _played(loaded: LoadedModel, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """True frames (n, H, W, 3) and action vectors (n - 1, D) of an explorer in the checkpoint's world."""
    assert envs.__name__  # registers the worlds
    size = loaded.description.model.size
    env = gymnasium.make(loaded.description.env_id, size=size)
    observation, info = env.reset(seed=config.seed)
    player = policies.make("explore", env, config.seed)
    player.reset(info)
    frames, actions = [observation["pov"]], []
    for _ in range(config.context + config.frames):
        action = player(observation, info)
        actions.append(vector(env.action_space, action))
        observation, _, _, _, info = env.step(action)
        frames.append(observation["pov"])
    env.close()
    return np.stack(frames), np.stack(actions)


def _timed(dreams: list[DreamEnv], actions: np.ndarray, device: torch.device) -> dict[str, Any]:
    phases: dict[str, list[float]] = {}
    for i, action in enumerate(actions):
        began = time.perf_counter()
        info = DreamEnv.together(dreams, action)[0][4]
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        spent = (time.perf_counter() - began) * 1e3
        if i >= 8:  # the first ones warm caches up
            for phase, ms in {**{k: v * len(dreams) for k, v in info["ms"].items()}, "step": spent}.items():
                phases.setdefault(phase, []).append(ms)
    return {
        phase: {f"p{q}": round(float(np.percentile(ms, q)), 2) for q in (50, 95, 99)}
        | {"mean": round(float(np.mean(ms)), 2)}
        for phase, ms in phases.items()
    }


def _corrected(dream: DreamEnv, frames: np.ndarray) -> float:
    """Median milliseconds of replacing the last 16 frames by true ones."""
    spent = []
    for i in range(5):
        began = time.perf_counter()
        dream.correct(np.roll(frames, i, 0))  # other frames each time, so that each is encoded
        spent.append((time.perf_counter() - began) * 1e3)
    return round(float(np.median(spent)), 1)


def _operations(loaded: LoadedModel, config: Config, past: dict[str, Any], action: np.ndarray) -> int:
    """Floating point operations of a step between two compressions."""
    dream = _dream(loaded, config, config.history)
    dream.reset(seed=0, options=past)
    dream.step(action)
    with FlopCounterMode(display=False) as counter:
        dream.step(action)
    return int(counter.get_total_flops())


def matrix_rate(device: torch.device, size: int = 1024) -> float:
    """Floating point operations a second of an fp32 matrix product, the best of five."""
    a = torch.randn(size, size, device=device)
    best = float("inf")
    for _ in range(6):
        began = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def _print(name: str, phases: dict[str, Any]) -> None:
    print(f"{name:12s}" + "".join(f"{q:>9s}" for q in ("p50", "p95", "p99", "mean")) + "  ms")
    for phase, row in phases.items():
        print(f"  {phase:10s}" + "".join(f"{row[q]:9.2f}" for q in ("p50", "p95", "p99", "mean")))
