"""What one dreamt frame costs: milliseconds of each phase, alone and beside its forgetful twin, and what bounds them.

``fraction`` says how far from the limit a phase is: the share that it reaches of the machine's own rate at a large fp32
matrix product on the same threads. ``products_ms`` is what its matrix products take alone, one after the other. A
phase is bound by overhead where the products are less than half of it; else by arithmetic or by memory, whichever of
``operations / matrix rate`` and ``operands / read rate`` is longer. The phases under ``with_twin`` are of one pass that
dreams both. ``flat=10000`` dreams that many frames and compares the last hundred with the hundred after frame 100.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from training.benchmark.dreaming import (
    WARM,
    Dreamt,
    dream_of,
    opened,
    percentiles,
    played,
    print_phases,
    wait,
)
from training.benchmark.work import Products, matrix_rate, read_rate
from worldsim import runtime
from worldsim.checkpoint import LoadedModel
from worldsim.config import load
from worldsim.config.hardware import ENGINE_PRECISIONS
from worldsim.dream.world import DreamEnv
from worldsim.runtime import hardware
from worldsim.session.interfaces import BLIND

COLUMNS = ("p50", "p95", "p99", "mean", "products_ms", "gflop", "fraction")


@dataclass
class Config(Dreamt):
    engine: str = "auto"
    flat: int = 0


def run(args: list[str]) -> dict[str, Any]:
    """Time ``frames`` steps after ``context`` true frames of the checkpoint's own world."""
    config = load(Config, args)
    loaded, device = opened(config)
    past, later, frames = played(loaded, config)

    def begin(*histories: int) -> list[DreamEnv]:
        dreams = [dream_of(loaded, config, config.engine, history) for history in histories]
        for dream in dreams:
            dream.reset(seed=0, options=past)
        return dreams

    rates = matrix_rate(device), read_rate(device)
    one = _timed(begin(config.history), later, device)
    twin = _timed(begin(config.history, 0), later, device)
    rates = max(rates[0], matrix_rate(device)), max(rates[1], read_rate(device))
    bounds = _bounds(begin(config.history)[0], later, one, *rates)
    found: dict[str, Any] = {
        "one": {phase: row | bounds.get(phase, {}) for phase, row in one.items()},
        "with_twin": twin,
        "encode_ms": _encoded(loaded, frames),
        "correct_ms": _corrected(begin(config.history)[0], frames[-BLIND:], later),
        "history_ratio": _ratio(begin(config.history)[0], begin(16)[0], later),
    }
    if config.flat:
        found["flat"] = _flat(begin(config.history)[0], later, config.flat)
    for name in ("one", "with_twin"):
        print_phases(name, found[name], COLUMNS)
    rest = {name: value for name, value in found.items() if name not in ("one", "with_twin")}
    print("\n".join(f"{name:15s} {value}" for name, value in rest.items()))
    print(f"fp32 matrix product {rates[0] / 1e9:.0f} GFLOP/s, memory read {rates[1] / 1e9:.1f} GB/s")
    return {
        "checkpoint": config.checkpoint,
        "size": config.size or loaded.description.model.size,
        "history": config.history,
        "budget": config.budget,
        "denoising_steps": config.denoising_steps,
        "engine": config.engine,
        "precision": runtime.precision(config.precision, device, ENGINE_PRECISIONS),
        **found,
        "frames_s": round(1e3 / one["step"]["p50"], 1),
        "matrix_gflop_s": round(rates[0] / 1e9, 1),
        "read_gb_s": round(rates[1] / 1e9, 1),
        "fraction": bounds["step"]["fraction"],
        "hardware": hardware(device),
    }


def _timed(dreams: list[DreamEnv], actions: np.ndarray, device: torch.device) -> dict[str, Any]:
    phases: dict[str, list[float]] = {}
    for i, action in enumerate(actions):
        began = time.perf_counter()
        info = DreamEnv.together(dreams, action)[0][4]
        wait(device)
        spent = (time.perf_counter() - began) * 1e3
        if i >= WARM:
            for phase, ms in {**{k: v * len(dreams) for k, v in info["ms"].items()}, "step": spent}.items():
                phases.setdefault(phase, []).append(ms)
    # Only one frame in so many compresses: its percentiles would say nothing of it.
    phases["compress"] = [ms for ms in phases["compress"] if ms > 0.2] or phases["compress"]
    return {phase: percentiles(ms) for phase, ms in phases.items()}


def _bounds(
    dream: DreamEnv, actions: np.ndarray, timed: dict[str, Any], rate: float, reads: float
) -> dict[str, dict[str, Any]]:
    """Of each phase: its operations, the fraction of the machine's rate, what its products take alone, its bound."""
    refresh = dream.model.config.dream.refresh
    for action in actions[: refresh - 1]:
        dream.step(action)
    counted = []
    for action in actions[refresh - 1 : refresh + 1]:  # one of the two compresses, the last does not
        with Products.counting() as products:
            dream.step(action)
        counted.append(products)
    isolated = [products.isolated_ms() for products in counted]
    phases = dict(counted[1].phases)
    compress = max((0, 1), key=lambda i: counted[i].phases["compress"].operations)
    products_ms = isolated[1] | {"compress": isolated[compress]["compress"]}
    phases["compress"] = counted[compress].phases["compress"]
    rows = {}
    for name, phase in phases.items():
        ms = timed[name]["p50"]
        longest = {"arithmetic": phase.operations / rate, "memory": phase.bytes / reads}
        bound = max(longest, key=lambda kind: longest[kind]) if 2 * products_ms[name] >= ms else "overhead"
        rows[name] = _limits(phase.operations, ms, products_ms[name], rate) | {"bound": bound}
    usual = [name for name in phases if name != "compress"]
    operations = sum(phases[name].operations for name in usual)
    total = sum(products_ms[name] for name in usual)
    return rows | {"step": _limits(operations, timed["step"]["p50"], total, rate)}


def _limits(operations: int, ms: float, products_ms: float, rate: float) -> dict[str, Any]:
    return {
        "gflop": round(operations / 1e9, 4),
        "fraction": round(operations / (ms / 1e3) / rate, 3) if ms else 0.0,
        "products_ms": round(products_ms, 2),
    }


def _encoded(loaded: LoadedModel, frames: np.ndarray) -> dict[str, Any]:
    """Of one true frame, as it comes."""
    spent = []
    with torch.inference_mode():
        for frame in frames[:40]:
            began = time.perf_counter()
            loaded.ahead.encode(frame[None])
            spent.append((time.perf_counter() - began) * 1e3)
    return percentiles(spent)


def _corrected(dream: DreamEnv, frames: np.ndarray, actions: np.ndarray) -> dict[str, Any]:
    """Of replacing the last frames by true ones, which were encoded as they came."""
    spent = []
    for i in range(6):
        for action in actions[:BLIND]:
            dream.step(action)
        shown = np.roll(frames, i, 0)  # in another order each time
        dream.loaded.encode(shown)
        began = time.perf_counter()
        dream.correct(shown)
        spent.append((time.perf_counter() - began) * 1e3)
    return percentiles(spent[1:])


def _ratio(long: DreamEnv, short: DreamEnv, actions: np.ndarray) -> dict[str, float]:
    """What a step of the long history costs over one of the short history, in turns so that both meet one machine."""
    spent: list[list[float]] = [[], []]
    for action in actions:
        for dream, ms in zip((long, short), spent, strict=True):
            began = time.perf_counter()
            dream.step(action)
            ms.append((time.perf_counter() - began) * 1e3)
    a, b = (ms[WARM:] for ms in spent)
    return {
        "p50": round(float(np.median(a) / np.median(b)), 3),
        "mean": round(float(np.mean(a) / np.mean(b)), 3),
    }


def _flat(dream: DreamEnv, actions: np.ndarray, frames: int) -> dict[str, Any]:
    """Median milliseconds of the hundred frames after frame 100 and of the last hundred."""
    spent = []
    for i in range(frames):
        began = time.perf_counter()
        dream.step(actions[i % len(actions)])
        spent.append((time.perf_counter() - began) * 1e3)
    early, late = (float(np.median(part)) for part in (spent[100:200], spent[-100:]))
    return {"early_ms": round(early, 2), "late_ms": round(late, 2), "ratio": round(late / early, 3)}
