"""Scores in lines of text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def table(rows: Iterable[tuple[str, dict[str, Any]]]) -> str:
    """A line a row, its intervals by column."""

    def cell(s: dict[str, Any]) -> str:
        return "-" if s["mean"] is None else f"{s['mean']:.3f} [{s['low']:.3f}, {s['high']:.3f}] n={s['n']}"

    return "\n".join(
        f"{name:22s} " + "  ".join(f"{k}: {cell(v)}" for k, v in cells.items()) for name, cells in rows
    )


def held_line(found: dict[str, Any]) -> str:
    """Latent Fréchet distances of a free-running rollout (:func:`training.evaluation.free_running.held`)."""
    beside = [name for name in ("true", "elsewhere") if name in found]
    parts = "  ".join(
        f"{k}: {v:.2f} ({', '.join(f'{name} {found[name][k]:.2f}' for name in beside)})"
        for k, v in found["lfd"].items()
    )
    return f"left alone, LFD  {parts}  last/first {found['ratio']:.2f}, collapsed {found['collapsed']}/{found['n']}"


def videos_line(found: dict[str, Any]) -> str:
    """Fréchet video distances of one (:func:`training.evaluation.free_running.videos`)."""
    rows = (
        f"{who} " + "  ".join(f"{k}: {v:.1f}" for k, v in found[who].items()) for who in found if who != "n"
    )
    return f"left alone, FVD of {found['n']} clips a stretch  " + "; ".join(rows)
