"""The study's plots: retrieval by age and dials, degradation by segment, and the one against the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from training.report.plot import BLUE, FAINT, GREEN, ORANGE, POINTS, RED, VIOLET, Canvas, Colour, curve, rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS: tuple[Colour, ...] = (
    BLUE,
    ORANGE,
    GREEN,
    VIOLET,
    RED,
    (120, 120, 120),
    (23, 150, 160),
    (180, 140, 20),
)
RANGES = ("0-16", "16-48", "48-112")
NAMES = {"srr": "SRR", "ssim": "SSIM"}
WIDTH = 1120


def retrieval_plot(rows: Sequence[dict[str, Any]], metric: str, ranges: Sequence[str] = RANGES) -> Canvas:
    """Mean and 95% interval of every measured row, side by side in each age range; n below each range."""
    shown = [row for row in rows if metric in row.get("scores", {})]
    columns = math.ceil(len(shown) / 3)
    top = 56 + 18 * columns
    canvas = Canvas(WIDTH, top + 330)
    words = f"{NAMES[metric]} (mean, 95% interval over episodes)"
    panel = canvas.panel(60, top, WIDTH - 90, 240, words, xlim=(0, len(ranges)))
    canvas.legend(50, 8, ((title(row), COLOURS[i % len(COLOURS)]) for i, row in enumerate(shown)), 3)
    for i, row in enumerate(shown):
        scores = {k: row["scores"][metric][r] for k, r in enumerate(ranges)}
        known = {k + (i + 1) / (len(shown) + 1): s for k, s in scores.items() if s["mean"] is not None}
        means = np.array([s["mean"] for s in known.values()])
        ends = np.array([(s["low"], s["high"]) for s in known.values()]).reshape(-1, 2).T
        _intervals(panel, list(known), means, COLOURS[i % len(COLOURS)], yerr=np.abs(ends - means))
    for k in range(1, len(ranges)):
        panel.axvline(k, color=rgb(FAINT), lw=POINTS, ls="--")
    names = []
    for r in ranges:
        counts = sorted({row["scores"][metric][r]["n"] for row in shown})
        n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
        names.append(f"last seen {r} frames ago\n{n}")
    panel.set_xticks([k + 0.5 for k in range(len(ranges))], names)
    return canvas


def _intervals(panel: Axes, x: Any, y: Any, colour: Colour, **errors: Any) -> None:
    """Dots with their intervals."""
    panel.errorbar(x, y, fmt="o", color=rgb(colour), ms=8 * POINTS, elinewidth=2 * POINTS, **errors)


def segments_plot(result: dict[str, Any]) -> Canvas:
    """Figure 9: PSNR, SSIM and LFD of each segment in percent of the first, for every row measured."""
    rows = [row for row in result["rows"] if "scores" in row]
    first = rows[0]["scores"]
    names = first["segments"]
    canvas = Canvas(WIDTH, 400)
    parts = (("psnr", "PSNR"), ("ssim", "SSIM"), ("lfd_frames", "LFD of frames"))
    wide = (WIDTH - 200) / len(parts)
    for k, (metric, name) in enumerate(parts):
        series = [row["scores"][metric]["percent"] for row in rows]
        log = max(v for s in series for v in s) > 1000
        words = f"{name}, % of the first segment"
        panel = canvas.panel(60 + k * (wide + 50), 90, wide, 220, words, yscale="log" if log else "linear")
        segments_axis(panel, names)
        for i, percents in enumerate(series):
            curve(panel, enumerate(percents), COLOURS[i % len(COLOURS)])
    canvas.legend(50, 10, ((title(row), COLOURS[i % len(COLOURS)]) for i, row in enumerate(rows)), len(rows))
    canvas.text((60, 50), f"n = {first['episodes']} episodes x {first['seeds']} seeds each", size=11)
    words = "100%: frames 0-16. PSNR and SSIM fall, LFD rises where frames get worse."
    canvas.text((60, 380), words, size=11)
    return canvas


def segments_axis(panel: Axes, names: Sequence[str]) -> None:
    """Names of segments under a panel whose x is their number; every second one where there are many."""
    step = 1 if len(names) <= 4 else 2
    panel.set_xticks(range(0, len(names), step), names[::step], fontsize=10 * POINTS)
    panel.set_xlim(0, max(1, len(names) - 1))
    panel.set_xlabel("frames since the last true one", fontsize=12 * POINTS)


def tradeoff_plot(
    retrieval: dict[str, Any], degradation: dict[str, Any], metric: str, backbone: str
) -> Canvas | None:
    """Figure 11: largest PSNR decay against mean retrieval, a point for each budget; None where either is missing."""
    known = {
        (r["history"], r["budget"]): r
        for r in retrieval["rows"]
        if r["backbone"] == backbone and "scores" in r
    }
    points = []
    for row in (r for r in degradation["rows"] if r["backbone"] == backbone):
        match = known.get((row["history"], row["budget"]))
        if "scores" in row and match and match["scores"][metric]["avg"]["mean"] is not None:
            points.append((match["scores"][metric]["avg"], row["scores"]["decay"], row["budget"]))
    if len(points) < 2:
        return None
    canvas = Canvas(640, 430)
    panel = canvas.panel(
        70,
        60,
        530,
        290,
        "largest PSNR decay (dB; mean, spread over seeds)",
        f"mean {NAMES[metric]} over the age ranges (95% interval over episodes)",
    )
    for i, (score, decay, budget) in enumerate(points):
        colour, x, y = COLOURS[i % len(COLOURS)], score["mean"], decay["mean"]
        interval = [[x - score["low"]], [score["high"] - x]]
        _intervals(panel, x, y, colour, xerr=interval, yerr=decay["spread"] or 0)
        near: dict[str, Any] = {"textcoords": "offset points", "xytext": (5, 5), "fontsize": 12 * POINTS}
        panel.annotate(f"B = {budget}", (x, y), color=rgb(colour), **near)
    counts = sorted({s["n"] for s, _, _ in points})
    first = next(r["scores"] for r in degradation["rows"] if r["backbone"] == backbone and "scores" in r)
    n = f"n = {counts[0]} trials; {first['episodes']} rollouts x {first['seeds']} seeds"
    canvas.text((70, 22), n, size=11)
    return canvas


def title(row: dict[str, Any]) -> str:
    """A row in few words."""
    budget = "" if row["budget"] is None else f", budget {row['budget']}"
    history = row["history"]
    caption = f"history {history}" if isinstance(history, int) else f"short {history} alone"
    return (
        f"{row['label']}: {caption}{budget}" if row["label"].count(":") == 0 else row["label"].split(": ")[1]
    )
