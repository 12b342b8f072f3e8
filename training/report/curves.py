"""Loss curves of training runs side by side, from the scalars that they wrote for TensorBoard."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.report import plot
from training.report.plot import Canvas, Colour
from worldsim.config import load

WIDTH, PLOT, TOP, ROW = 1000, 620, 60, 22


@dataclass
class Config:
    runs: str = MISSING
    scalar: str = "train/loss"
    out: str = ""


class CurvesError(ValueError):
    """A folder without runs, or runs without the scalar that was asked for."""


def curve(run: Path, scalar: str) -> list[tuple[int, float]]:
    """(step, value) of one run, in order; of a step written twice (after a kill) the later value counts.

    Raises:
        CurvesError: the run has no such scalar.
    """
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    known = events.Tags()["scalars"]
    if scalar not in known:
        raise CurvesError(f"{run} has no scalar {scalar!r}; it has {', '.join(known) or 'none'}")
    return sorted({event.step: float(event.value) for event in events.Scalars(scalar)}.items())


def run(args: list[str]) -> dict[str, Any]:
    """Every run in the folder ``runs``: its curve's first, lowest and last value, and the picture.

    Raises:
        CurvesError: there is none.
    """
    config = load(Config, args)
    folders = sorted(p.parent for p in Path(config.runs).glob("*/tensorboard"))
    if not folders:
        raise CurvesError(f"expected runs with a folder `tensorboard` in {config.runs}, found none")
    curves = {folder.name: curve(folder, config.scalar) for folder in folders}
    found: dict[str, Any] = {}
    for name, points in curves.items():
        values = [value for _, value in points]
        found[name] = {
            "steps": points[-1][0] + 1,
            **{
                what: round(v, 4)
                for what, v in (("first", values[0]), ("lowest", min(values)), ("last", values[-1]))
            },
        }
        print(f"{name:32s} " + "  ".join(f"{what} {value}" for what, value in found[name].items()))
    if config.out:
        _picture(curves, config.scalar).save(Path(config.out))
        print(f"plotted in {config.out}")
    return {"scalar": config.scalar, "runs": found}


def _picture(curves: dict[str, list[tuple[int, float]]], scalar: str) -> Canvas:
    height = max(300, ROW * len(curves) + 20)
    canvas = Canvas(WIDTH, height + TOP + 70)
    colours = [_colour(i, len(curves)) for i in range(len(curves))]
    panel = canvas.panel(70, TOP, PLOT, height, f"{scalar}, running mean as the trainer logs it", "steps")
    for points, colour in zip(curves.values(), colours, strict=True):
        plot.curve(panel, points, colour, "-")
    words = [f"{name}: {points[-1][1]:.3g}" for name, points in curves.items()]
    canvas.legend(PLOT + 90, TOP, zip(words, colours, strict=True))
    return canvas


def _colour(i: int, n: int) -> Colour:
    r, g, b = colorsys.hls_to_rgb(i / n, 0.42 if i % 2 else 0.55, 0.75)
    return round(r * 255), round(g * 255), round(b * 255)
