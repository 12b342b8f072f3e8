"""The numbers of a tick for the page: what the window's HUD shows, as JSON has it."""

from __future__ import annotations

from typing import Any

from worldsim.metrics.retrieval import RANGE_NAMES
from worldsim.player.keymap import Intent
from worldsim.player.scoreboard import Scoreboard
from worldsim.session.tick import DreamView, Tick


def of_tick(board: Scoreboard, intent: Intent | None) -> dict[str, Any]:
    """The scores, timings and settings of the board's present tick, and what has been counted up to it.

    Angles are degrees, times milliseconds, ``pace`` ticks a second. ``retrieval`` is by range of ages:
    ``{"0-16": {"ssim": mean or None, "n": count, "srr": share or None}}``.
    """
    tick = board.tick
    return {
        "index": tick.index,
        "pose": None if tick.pose is None else [round(float(v), 2) for v in tick.pose],
        "pace": board.pace,
        "true_ms": tick.true_ms,
        "total_ms": tick.total_ms,
        "recording": tick.recording,
        "intent": None if intent is None else _hands(intent),
        "dreams": [
            {**of_view(view), "retrieval": _retrieval(board, view.name)} for view in tick.dreams.values()
        ],
        "scored": next((_setting(board.scored(name)) for name in tick.dreams), None),
        "revisit": _revisit(board),
    }


def of_view(view: DreamView) -> dict[str, Any]:
    """One dream's answer: its scores, what it remembered, what it took."""
    return {
        "name": view.name,
        "ssim": round(view.ssim, 4),
        "psnr": round(view.psnr, 2) if view.psnr < 1e3 else None,  # None: the same to the last bit
        "band": view.band,
        "retrieved": view.retrieved,
        "srr": view.srr,
        "label": view.label,
        "history": view.history,
        "steps": view.steps,
        "cost": view.cost,
        "calls": view.calls,
        "novelty": None if view.novelty is None else round(view.novelty, 4),
        "memory_frames": view.memory_frames,
        "memory_latents": view.memory_latents,
        "step_ms": round(view.step_ms, 2),
    }


def of_trace(board: Scoreboard, number: int) -> list[dict[str, Any]]:
    """The SSIM of the last ticks for a page that begins to look at tick ``number``, oldest first."""
    return [
        {
            "number": number - ago,
            "name": name,
            "ssim": round(view.ssim, 4),
            "band": view.band,
            "retrieved": view.retrieved,
        }
        for name in board.tick.dreams
        for ago, view in board.trace(name)
    ]


def remembered(board: Scoreboard) -> Tick | None:
    """The tick whose revisit the badge shows now, if any."""
    return None if board.badge_age is None else board.returned


def _hands(intent: Intent) -> dict[str, Any]:
    return {"held": sorted(intent.held), "yaw": round(intent.yaw, 1), "pitch": round(intent.pitch, 1)}


def _setting(view: DreamView) -> str:
    return f"history {view.history}, budget {view.budget}, past: {view.history_from}"


def _retrieval(board: Scoreboard, name: str) -> dict[str, Any]:
    tally = board.tally(name)
    return {
        ages: {"ssim": tally.mean(ages), "n": tally.count(ages), "srr": tally.srr(ages)}
        for ages in RANGE_NAMES
    }


def _revisit(board: Scoreboard) -> dict[str, Any] | None:
    tick = remembered(board)
    if tick is None or tick.revisit is None:
        return None
    verdicts = [
        {"name": v.name, "ssim": round(v.ssim, 3), "band": v.band, "retrieved": v.retrieved, "srr": v.srr}
        for v in tick.dreams.values()
    ]
    return {"ago": board.badge_age, "age": tick.revisit.age, "dreams": verdicts}
