"""The study's plots: retrieval by age and dials, degradation by segment, and the one against the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from training.report.plot import BLUE, FAINT, GREEN, ORANGE, RED, VIOLET, Canvas, Colour, Panel

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
    legend = 18 * math.ceil(len(shown) / 3)
    top = 56 + legend
    canvas = Canvas(WIDTH, top + 330)
    scores = [row["scores"][metric][r] for row in shown for r in ranges]
    values = [s[k] for s in scores for k in ("low", "high") if s["mean"] is not None]
    low, high = span(values)
    if metric == "srr":
        low, high = max(low, -0.02), min(high, 1.02)  # a rate
    panel = Panel(canvas, 60, top, WIDTH - 90, 240, (0, len(ranges)), (low, high))
    panel.axes([], ticks(low, high), "", f"{NAMES[metric]} (mean, 95% interval over episodes)")
    for i, row in enumerate(shown):
        colour = COLOURS[i % len(COLOURS)]
        across, down = 60 + (i % 3) * 365, 22 + 18 * (i // 3)
        canvas.dot((across, down), colour, 4)
        canvas.text((across + 10, down), title(row))
        for k, r in enumerate(ranges):
            score = row["scores"][metric][r]
            if score["mean"] is None:
                continue
            x = k + (i + 1) / (len(shown) + 1)
            canvas.line([panel.at(x, score["low"]), panel.at(x, score["high"])], colour, 2)
            canvas.dot(panel.at(x, score["mean"]), colour, 4)
    for k, r in enumerate(ranges):
        if k:
            canvas.line([panel.at(k, low), panel.at(k, high)], FAINT, 1, dashed=True)
        counts = sorted({row["scores"][metric][r]["n"] for row in shown})
        n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
        x, bottom = panel.at(k + 0.5, low)
        canvas.text((x, bottom + 8), f"last seen {r} frames ago", anchor="mt")
        canvas.text((x, bottom + 26), n, size=11, anchor="mt")
    return canvas


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
        low, high = span([v for s in series for v in s] + [100])
        log = high > 1000 and low > 0
        panel = Panel(
            canvas,
            60 + k * (wide + 50),
            90,
            wide,
            220,
            (0, max(1, len(names) - 1)),
            (max(low, 1), high),
            y_log=log,
        )
        levels = [10.0**e for e in range(5) if low <= 10**e <= high] if log else ticks(low, high)
        panel.axes([], levels, "", f"{name}, % of the first segment")
        segments_axis(panel, names)
        for i, percents in enumerate(series):
            panel.curve(list(enumerate(percents)), COLOURS[i % len(COLOURS)])
    for i, row in enumerate(rows):
        canvas.dot((60 + i * 250, 24), COLOURS[i % len(COLOURS)], 4)
        canvas.text((70 + i * 250, 24), title(row))
    canvas.text((60, 50), f"n = {first['episodes']} episodes x {first['seeds']} seeds each", size=11)
    canvas.text(
        (60, 380), "100%: frames 0-16. PSNR and SSIM fall, LFD rises where frames get worse.", size=11
    )
    return canvas


def segments_axis(panel: Panel, names: Sequence[str]) -> None:
    """Names of segments under a panel whose x is their number; every second one where there are many."""
    for i, name in enumerate(names):
        if len(names) <= 4 or i % 2 == 0:
            x, y = panel.at(i, panel.y_range[0])
            panel.canvas.text((x, y + 8), name, size=10, anchor="mt")
    middle, bottom = panel.left + panel.width / 2, panel.top + panel.height
    panel.canvas.text((middle, bottom + 32), "frames since the last true one", anchor="mt")


def tradeoff_plot(retrieval: dict[str, Any], degradation: dict[str, Any], metric: str) -> Canvas | None:
    """Figure 11: largest PSNR decay against mean retrieval, a point for each budget; None where either is missing."""
    known = {
        (r["history"], r["budget"]): r
        for r in retrieval["rows"]
        if r["backbone"] == "world" and "scores" in r
    }
    points = []
    for row in degradation["rows"]:
        match = known.get((row["history"], row["budget"]))
        if "scores" in row and match and match["scores"][metric]["avg"]["mean"] is not None:
            points.append((match["scores"][metric]["avg"], row["scores"]["decay"], row["budget"]))
    if len(points) < 2:
        return None
    canvas = Canvas(640, 430)
    across = span([s[k] for s, _, _ in points for k in ("low", "high")])
    up = span([d["mean"] + sign * (d["spread"] or 0) for _, d, _ in points for sign in (-1, 1)])
    panel = Panel(canvas, 70, 60, 530, 290, across, up)
    panel.axes(
        ticks(*across),
        ticks(*up),
        f"mean {NAMES[metric]} over the age ranges (95% interval over episodes)",
        "largest PSNR decay (dB; mean, spread over seeds)",
    )
    for i, (score, decay, budget) in enumerate(points):
        colour, y, spread = COLOURS[i % len(COLOURS)], decay["mean"], decay["spread"] or 0
        canvas.line([panel.at(score["low"], y), panel.at(score["high"], y)], colour, 1)
        canvas.line([panel.at(score["mean"], y - spread), panel.at(score["mean"], y + spread)], colour, 1)
        place = panel.at(score["mean"], y)
        canvas.dot(place, colour, 5)
        canvas.text((place[0] + 9, place[1] - 9), f"B = {budget}", colour)
    counts = sorted({s["n"] for s, _, _ in points})
    first = next(row["scores"] for row in degradation["rows"] if "scores" in row)
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


def span(values: Sequence[float]) -> tuple[float, float]:
    """A range a little wider than the values; never empty."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    return low - margin, high + margin


def ticks(low: float, high: float) -> list[float]:
    """Some five round numbers in a range."""
    rough = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= rough)
    return [round(k * step, 10) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
