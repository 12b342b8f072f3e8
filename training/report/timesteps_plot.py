"""Figures 10 and 16 as one picture: the loss by noise level, and what the four timestep sets do on rollouts."""

from __future__ import annotations

from typing import Any

from training.report.plot import BLUE, GREEN, INK, ORANGE, VIOLET, Canvas, Panel
from training.report.study_plots import WIDTH, segments_axis, span, ticks

COLOURS = {"a,1": BLUE, "a,2": ORANGE, "b,1": GREEN, "b,2": VIOLET}


def timesteps_plot(result: dict[str, Any]) -> Canvas:
    """Left the error of the velocity by level, in the middle LFD and on the right PSNR by segment of each set."""
    rows = [row for row in result["rows"] if "scores" in row]
    canvas = Canvas(WIDTH, 400)
    wide = (WIDTH - 200) / 3
    if losses := result.get("losses"):
        curve = [(t, x / t**2) for t, x in zip(losses["levels"], losses["x0"], strict=True)]
        low, high = span([y for _, y in curve])
        panel = Panel(canvas, 60, 90, wide, 220, (0, 1), (low, high))
        panel.axes(
            [0, 0.25, 0.5, 0.75, 1],
            ticks(low, high),
            f"noise level (n = {losses['clips']} clips)",
            "squared error of the velocity, per value",
        )
        panel.curve(curve, INK)
    for k, (metric, name) in enumerate((("lfd_frames", "LFD of frames"), ("psnr", "PSNR (dB)")), 1):
        series = {row["timestep_set"]: row["scores"][metric]["mean"] for row in rows}
        low, high = span([v for values in series.values() for v in values])
        panel = Panel(
            canvas,
            60 + k * (wide + 50),
            90,
            wide,
            220,
            (0, max(1, len(rows[0]["scores"]["segments"]) - 1)),
            (low, high),
        )
        panel.axes([], ticks(low, high), "", name)
        segments_axis(panel, rows[0]["scores"]["segments"])
        for set_name, values in series.items():
            panel.curve(list(enumerate(values)), COLOURS[set_name])
    for i, row in enumerate(rows):
        name = row["timestep_set"]
        canvas.dot((60 + i * 250, 24), COLOURS[name], 4)
        canvas.text((70 + i * 250, 24), f"({name}): dense near {'clean' if name.endswith('1') else 'noise'}")
    first = rows[0]["scores"]
    calls = result["dials"]["denoising_steps"]
    canvas.text(
        (60, 50),
        f"n = {first['episodes']} episodes x {first['seeds']} seeds each; {calls} calls a frame",
        size=11,
    )
    return canvas
