"""Every engine that is here on the same frames: milliseconds by phase, how far pictures are off, what bounds it.

The engines take turns, frame by frame, so that all of them meet the same machine, also one that others use;
``ratio`` is the median over frames of an engine's time over the first engine's, ``cpu_ms`` the processor's own time,
which others disturb least (on a CPU alone, and without the threads of ONNX Runtime, it is what a frame costs).
``gflop`` counts the products and convolutions of the plain modules, whatever an engine makes of them; ``fraction`` is
that work over the machine's rate at a large product in ``precision`` and over the phase's time. A phase is bound by
arithmetic or by memory where that work, or reading its operands, takes at least half of its time, else by overhead.
``levels_off`` compares pictures with those of the plain modules over the first frames, in levels of 255. Engines that
are not here are named with what they need.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

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
from training.benchmark.work import Phase, Products, matrix_rate, read_rate
from worldsim import runtime
from worldsim.checkpoint import LoadedModel
from worldsim.config import load
from worldsim.config.hardware import ENGINE_PRECISIONS
from worldsim.dream.world import DreamEnv
from worldsim.engine.backend import EngineError
from worldsim.engine.select import BACKENDS, PRODUCTS
from worldsim.runtime import hardware

COMPARED = 4
"""Frames whose pictures are compared: a dream of its own past soon goes its own way, by rounding alone."""


@dataclass
class Config(Dreamt):
    """``engines``: their names, empty for all that are here; ``twin``: a dream and its forgetful twin in one batch."""

    engines: list[str] = field(default_factory=list)
    frames: int = 60
    context: int = 64
    history: int = 48
    twin: bool = False

    def __post_init__(self) -> None:
        if self.frames <= WARM or self.context < 2:
            raise ValueError(f"expected frames above {WARM} and a context of at least 2 frames")


class _Timed:
    """An engine's dreams, and what their frames took."""

    def __init__(self, name: str, loaded: LoadedModel, config: Config, past: dict[str, Any]) -> None:
        self.name, self.device = name, next(loaded.model.parameters()).device
        self.ms: dict[str, list[float]] = {}
        self.cpu: list[float] = []
        self.pictures: list[np.ndarray] = []
        began = time.perf_counter()
        self.dreams = [
            dream_of(loaded, config, name, h)
            for h in ((config.history, 0) if config.twin else (config.history,))
        ]
        for dream in self.dreams:
            dream.reset(seed=0, options=past)
        wait(self.device)
        self.start_s = time.perf_counter() - began

    def step(self, action: np.ndarray, counted: bool) -> None:
        began, cpu = time.perf_counter(), time.thread_time()
        steps = DreamEnv.together(self.dreams, action)
        wait(self.device)
        spent, used = (time.perf_counter() - began) * 1e3, (time.thread_time() - cpu) * 1e3
        if len(self.pictures) < COMPARED:
            self.pictures.append(np.stack([step[0] for step in steps]))
        if counted:
            phases = {name: ms * len(self.dreams) for name, ms in steps[0][4]["ms"].items()}
            for name, ms in {**phases, "step": spent}.items():
                self.ms.setdefault(name, []).append(ms)
            self.cpu.append(used)


def run(args: list[str]) -> dict[str, Any]:
    """Time every engine; see the module."""
    config = load(Config, args)
    loaded, device = opened(config)
    past, actions, _ = played(loaded, config)
    precision = runtime.precision(config.precision, device, ENGINE_PRECISIONS)
    rate, reads = matrix_rate(device, dtype=PRODUCTS[precision]), read_rate(device)
    plain = _Timed("eager", loaded, config, past)
    work = _work(plain, actions)
    timed, absent = [], {}
    for name in config.engines or BACKENDS:
        try:
            timed.append(_Timed(name, loaded, config, past))
        except EngineError as error:
            absent[name] = str(error)
    for i, action in enumerate(actions):
        turn = i % len(timed)
        for one in timed[turn:] + timed[:turn]:
            one.step(action, i >= WARM)
    rows = {one.name: _engine(one, timed[0], plain, work, rate, reads) for one in timed}
    for name, found in rows.items():
        _print(name, found)
    print("\n".join(f"{name}: {why}" for name, why in absent.items()))
    load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    print(
        f"{precision} product {rate / 1e9:.0f} GFLOP/s, read {reads / 1e9:.1f} GB/s, load {load_average:.1f}"
    )
    return {
        "checkpoint": config.checkpoint,
        "size": config.size or loaded.description.model.size,
        "twin": config.twin,
        "history": config.history,
        "denoising_steps": config.denoising_steps,
        "precision": precision,
        "engines": rows,
        "absent": absent,
        "matrix_gflop_s": round(rate / 1e9, 1),
        "read_gb_s": round(reads / 1e9, 1),
        "load": round(load_average, 1),
        "hardware": hardware(device),
    }


def _work(plain: _Timed, actions: np.ndarray) -> dict[str, Phase]:
    """Operations and bytes of the plain modules in a frame that does not compress; its first pictures on the way."""
    for action in actions[:COMPARED]:
        plain.step(action, False)
    found: dict[str, Phase] = {}
    for action in actions[COMPARED : COMPARED + 2]:
        with Products.counting() as products:
            plain.step(action, False)
        found = found or products.phases
        if products.phases["compress"].operations == 0:
            found = products.phases
    return found


def _engine(
    one: _Timed, first: _Timed, plain: _Timed, work: dict[str, Phase], rate: float, reads: float
) -> dict[str, Any]:
    off = np.abs(np.stack(one.pictures).astype(int) - np.stack(plain.pictures))
    phases = {}
    for name, ms in one.ms.items():
        phases[name] = percentiles(ms)
        if name in work:
            phases[name] |= _limits(work[name].operations, work[name].bytes, phases[name]["p50"], rate, reads)
    whole = [sum(getattr(phase, kind) for phase in work.values()) for kind in ("operations", "bytes")]
    phases["step"] |= _limits(whole[0], whole[1], phases["step"]["p50"], rate, reads)
    return {
        "phases": phases,
        "cpu_ms": percentiles(one.cpu),
        "ratio": round(float(np.median(np.array(one.ms["step"]) / np.array(first.ms["step"]))), 3),
        "cpu_ratio": round(float(np.median(np.array(one.cpu) / np.array(first.cpu))), 3),
        "frames_s": round(1e3 / phases["step"]["p50"], 1),
        "start_s": round(one.start_s, 2),
        "levels_off": {"mean": round(float(off.mean()), 3), "max": int(off.max()), "n": len(one.pictures)},
    }


def _limits(operations: int, size: int, ms: float, rate: float, reads: float) -> dict[str, Any]:
    longest = {"arithmetic": operations / rate * 1e3, "memory": size / reads * 1e3}
    bound = max(longest, key=lambda kind: longest[kind])
    return {
        "gflop": round(operations / 1e9, 4),
        "fraction": round(operations / (ms / 1e3) / rate, 4) if ms else 0.0,
        "bound": bound if 2 * longest[bound] >= ms else "overhead",
    }


def _print(name: str, found: dict[str, Any]) -> None:
    off = found["levels_off"]
    print(
        f"{name}: {found['frames_s']} frames/s, ratio {found['ratio']}, of the processor's time {found['cpu_ratio']}, "
        f"start {found['start_s']} s, off by {off['mean']} levels, at most {off['max']}"
    )
    print_phases("", found["phases"], ("p50", "p95", "p99", "mean", "gflop", "fraction"))
