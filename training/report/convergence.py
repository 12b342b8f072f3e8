"""How the sampler's divergence falls with steps M and with horizon T, exactly, on Gaussian frames of known score."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from training.report.plot import BLUE, GREEN, INK, ORANGE, Canvas, Point, curve
from worldsim.config import load
from worldsim.metrics.theory.gaussian import even_times, sampler_error, slope


@dataclass
class Config:
    """Frames have mean 1, ``variance``, and the correlation ``correlation`` from one to the next.

    ``horizon`` is T of the first panel, whose sample error takes three times as long a T, that noise initialisation
    be out of its way; ``fine`` is the step width of the second.
    """

    out: str = ""
    frames: int = 4
    variance: float = 0.5
    correlation: float = 0.6
    horizon: float = 8.0
    steps: list[int] = field(default_factory=lambda: [32, 64, 128, 256, 512, 1024])
    horizons: list[float] = field(default_factory=lambda: [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    fine: float = 0.002


def run(args: list[str]) -> dict[str, Any]:
    """Print both sweeps with fitted slopes; plot them where ``out`` says so."""
    config = load(Config, args)
    if len(config.steps) < 2 or len(config.horizons) < 2:
        raise ValueError("expected at least 2 values each of steps and of horizons: a slope is fitted")
    apart = np.abs(np.subtract.outer(np.arange(config.frames), np.arange(config.frames)))
    mean, covariance = np.ones(config.frames), config.variance * config.correlation**apart
    by_steps: dict[str, list[Point]] = {"DE": [], "sample": []}
    for m in config.steps:
        by_steps["DE"].append(
            (m, sampler_error(mean, covariance, even_times(config.horizon, m)).discretisation)
        )
        long = even_times(3 * config.horizon, 3 * m)
        by_steps["sample"].append((m, sampler_error(mean, covariance, long).sample))
    by_horizon: dict[str, list[Point]] = {"NIE": [], "sample": []}
    for t in config.horizons:
        error = sampler_error(mean, covariance, even_times(t, max(1, round(t / config.fine))))
        by_horizon["NIE"].append((t, error.start))
        by_horizon["sample"].append((t, error.sample))
    last = slice(len(config.steps) // 2, None)  # slopes are of the limit: the upper half
    slopes = {f"{name} in log M": _fit(np.log, points[last]) for name, points in by_steps.items()}
    slopes["NIE in T"] = _fit(np.asarray, by_horizon["NIE"][len(config.horizons) // 2 :])
    for title, sweep in (("M", by_steps), ("T", by_horizon)):
        for name, points in sweep.items():
            print(f"{name:8s}" + "  ".join(f"{title}={x:g}: {y:.3g}" for x, y in points))
    print("slopes of log KL: " + ", ".join(f"{name} {value:.3f}" for name, value in slopes.items()))
    if config.out:
        _picture(by_steps, by_horizon, slopes).save(Path(config.out))
        print(f"plotted in {config.out}")
    return {"steps": by_steps, "horizons": by_horizon, "slopes": slopes}


def _fit(scale: Any, points: list[Point]) -> float:
    x, y = np.array(points).T
    return slope(scale(x), np.log(y))


def _picture(
    by_steps: dict[str, list[Point]], by_horizon: dict[str, list[Point]], slopes: dict[str, float]
) -> Canvas:
    canvas = Canvas(1000, 460)
    canvas.text((60, 24), "Euler-Maruyama with an exact score on Gaussian frames: KL in nats", size=14)
    left = canvas.panel(70, 110, 400, 270, x_name="steps M", xscale="log", yscale="log")
    left.set_xticks([m for m, _ in by_steps["DE"]], [f"{m:g}" for m, _ in by_steps["DE"]])
    curve(left, by_steps["DE"], BLUE)
    curve(left, by_steps["sample"], GREEN)
    m0, de = by_steps["DE"][-1]
    curve(left, [(m, de * m0 / m) for m, _ in by_steps["DE"]], INK, "--")
    path = f"discretisation error of the path, slope {slopes['DE in log M']:.2f} (dashed: 1 / M)"
    clean = f"clean frames alone, slope {slopes['sample in log M']:.2f}"
    canvas.legend(60, 44, [(path, BLUE), (clean, GREEN)])
    right = canvas.panel(560, 110, 400, 270, x_name="horizon T", yscale="log")
    curve(right, by_horizon["NIE"], ORANGE)
    curve(right, by_horizon["sample"], GREEN)
    t0, nie = by_horizon["NIE"][-1]
    limits = right.get_ylim()
    right.plot(
        [t for t, _ in by_horizon["NIE"]], [nie * np.exp(t0 - t) for t, _ in by_horizon["NIE"]], "k--", lw=0.5
    )
    right.set_ylim(limits)
    start = f"noise initialisation error, slope {slopes['NIE in T']:.2f} (dashed: exp(-T))"
    canvas.legend(550, 44, [(start, ORANGE), ("clean frames alone, down to their discretisation", GREEN)])
    return canvas
