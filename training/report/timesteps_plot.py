"""Figures 10 and 16 as one picture: the loss by noise level, and what the four timestep sets do on rollouts."""

from __future__ import annotations

from typing import Any

from training.report.plot import BLUE, GREEN, INK, ORANGE, VIOLET, Canvas, curve
from training.report.study_plots import WIDTH, segments_axis

COLOURS = {"a,1": BLUE, "a,2": ORANGE, "b,1": GREEN, "b,2": VIOLET}


def timesteps_plot(result: dict[str, Any]) -> Canvas:
    """Left the error of the velocity by level, in the middle LFD and on the right PSNR by segment of each set."""
    rows = [row for row in result["rows"] if "scores" in row]
    canvas = Canvas(WIDTH, 400)
    wide = (WIDTH - 200) / 3
    if losses := result.get("losses"):
        title, x_name = (
            "squared error of the velocity, per value",
            f"noise level (n = {losses['clips']} clips)",
        )
        panel = canvas.panel(60, 90, wide, 220, title, x_name, xlim=(0, 1))
        curve(panel, [(t, x / t**2) for t, x in zip(losses["levels"], losses["x0"], strict=True)], INK)
    for k, (metric, name) in enumerate((("lfd_frames", "LFD of frames"), ("psnr", "PSNR (dB)")), 1):
        panel = canvas.panel(60 + k * (wide + 50), 90, wide, 220, name)
        segments_axis(panel, rows[0]["scores"]["segments"])
        for row in rows:
            curve(panel, enumerate(row["scores"][metric]["mean"]), COLOURS[row["timestep_set"]])
    sets = [row["timestep_set"] for row in rows]
    words = [f"({name}): dense near {'clean' if name.endswith('1') else 'noise'}" for name in sets]
    canvas.legend(50, 10, zip(words, map(COLOURS.__getitem__, sets), strict=True), len(rows))
    first = rows[0]["scores"]
    calls = result["dials"]["denoising_steps"]
    n = f"n = {first['episodes']} episodes x {first['seeds']} seeds each; {calls} calls a frame"
    canvas.text((60, 50), n, size=11)
    return canvas
