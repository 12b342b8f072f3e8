"""Scores as the tables of a card."""

from __future__ import annotations

from typing import Any


def cell(score: dict[str, Any]) -> str:
    """A mean and its interval; a dash where nothing was measured."""
    if score["mean"] is None:
        return "-"
    return f"{score['mean']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"


def ahead_lines(
    scores: dict[str, Any], default: str = "", against: dict[str, Any] | None = None
) -> list[str]:
    """How far ahead a dream holds, beside the scores of a world's ``default`` where they are given (``against``)."""
    horizons = list(scores["dream"])
    lines = [
        "| SSIM, frames ahead | " + " | ".join(horizons) + " |",
        "|---" * (len(horizons) + 1) + "|",
    ]
    rows = [("dream", scores["dream"])]
    if against:
        rows.append((f"the default, `{default}`", against["dream"]))
    rows += [("copy of the last context frame", scores["copy"]), ("untrained model", scores["untrained"])]
    for label, row in rows:
        lines.append(f"| {label} | " + " | ".join(cell(row[h]["ssim"]) for h in horizons) + " |")
    counted = scores["dream"][horizons[0]]["ssim"]
    return [*lines, "", f"n = {counted['n']} starts in {counted['episodes']} episodes."]


def needle_lines(scores: dict[str, Any]) -> list[str]:
    """What a dream remembers, by age."""
    lines = [
        "| SSIM of returning views, last seen | memory | forgetful twin | autoencoder alone | the view as it was "
        "| n (episodes) |",
        "|---|---|---|---|---|---|",
    ]
    for ages, row in scores.items():
        cells = [cell(row[name]) for name in ("memory", "forgetful", "ceiling", "recall")]
        lines.append(
            f"| {ages} frames ago | "
            + " | ".join(cells)
            + f" | {row['memory']['n']} ({row['memory']['episodes']}) |"
        )
    return lines
