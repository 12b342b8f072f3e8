"""What a run ends with: scores on its held-out episodes, strips of true frames above dreamt ones, and a card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from envs.episodes.episode import Episode
from training.cards import tables
from training.data.episodes import open_both
from training.evaluation.ahead import HORIZONS, measure_ahead
from training.evaluation.config import Config, dream_of
from training.evaluation.lockstep import Walk, replay
from training.evaluation.needle import measure_needle
from training.loop.progress import tell
from worldsim.dream import registry
from worldsim.dream.registry import Source
from worldsim.runtime import hardware, pick_device

CONTEXT = 64
"""True frames before what is measured ahead, in episodes that are long enough."""
COLUMNS = 12
"""Frames of a strip, and rows of all strips."""
ROWS = 3
MINUTES_EACH = 5.0
"""Minutes of training for each episode that is measured on, 8 at most."""


def held_out(data: Path, minutes: float) -> list[Episode]:
    """The longest of the episodes that no stage trained on, as many as this much training is worth."""
    _, held = open_both(str(data), "")
    return sorted(held, key=len, reverse=True)[: int(min(8, max(1, minutes / MINUTES_EACH)))]


def score(path: Path, episodes: list[Episode], threads: int = 0) -> dict[str, Any]:
    """Scores of a checkpoint on episodes: ``ahead``, ``needle``, and how they were taken."""
    source = registry.find(str(path), pick_device("auto"), "")
    length = min(map(len, episodes))
    context = max(1, min(CONTEXT, length // 2))
    horizons = tuple(h for h in HORIZONS if h < length - context) or (1,)
    config = Config(checkpoint=str(path), context=context, precision="auto", perceptual="false")
    tell(0.1, {"episodes": len(episodes)})
    found: dict[str, Any] = {
        "context": context,
        "episodes": len(episodes),
        "denoising_steps": config.denoising_steps,
        "budget": config.budget,
        "blind": config.blind,
        "hardware": hardware(source.device),
        "ahead": measure_ahead(source, episodes, config, horizons=horizons),
    }
    tell(0.5, {"episodes": len(episodes)})
    found |= measure_needle(source, episodes, config)
    tell(0.9, {"episodes": len(episodes)})
    Image.fromarray(strips(source, episodes[:ROWS], config)).save(path / "strips.png")
    return found


def strips(source: Source, episodes: list[Episode], config: Config) -> np.ndarray:
    """Every episode as two rows, frames at even distances after the context: true ones above dreamt ones.

    Returns:
        uint8 (2 n H, COLUMNS W, 3); an episode that is shorter has fewer frames, and is black from there on.
    """
    rows = []
    for episode in episodes:
        context = min(config.context, max(1, len(episode) // 2))
        walk = Walk.of(episode, 0, min(len(episode), context + CONTEXT))
        steps = list(
            replay({"dream": dream_of(source, config, episodes)}, walk, None, context=context, revisits=False)
        )
        shown = [steps[i] for i in np.unique(np.linspace(0, len(steps) - 1, COLUMNS).round().astype(int))]
        for frames in ([s.true for s in shown], [s.frames["dream"] for s in shown]):
            row = np.concatenate(frames, 1)
            rows.append(np.pad(row, ((0, 0), (0, COLUMNS * row.shape[0] - row.shape[1]), (0, 0))))
    return np.concatenate(rows)


def card(
    command: str, play: str, facts: list[str], description: Any, size: int, scores: dict[str, Any]
) -> str:
    """The card's Markdown.

    Args:
        command: that trained it; ``play``: that plays it.
        facts: a line of each stage.
        description: what the checkpoint says of itself.
    """
    few = " So few episodes say little." if scores["episodes"] < 8 else ""
    settings = f"{scores['denoising_steps']} denoising steps, budget {scores['budget']}"
    return "\n".join(
        [
            f"# A dream of {description.env_id}",
            "",
            f"{size}x{size} pixels. Play it: `{play}`.",
            "",
            f"Trained by `{command}`:",
            "",
            *(f"- {fact}" for fact in facts),
            "",
            "## Scores",
            "",
            f"On {scores['episodes']} of the episodes that no stage trained on; {settings}; brackets are 95% bootstrap "
            f"intervals over episodes; measured on {scores['hardware']}.{few}",
            "",
            f"How far ahead it holds, blind, after {scores['context']} true frames:",
            "",
            *tables.ahead(scores["ahead"]),
            "",
            *_remembered(scores),
            "",
            "True frames above dreamt ones, blind after the context:",
            "",
            "![strips](strips.png)",
            "",
        ]
    )


def _remembered(scores: dict[str, Any]) -> list[str]:
    """The table of returning views, where one came back."""
    if not any(row["memory"]["n"] for row in scores["needle"].values()):
        return ["What it remembers was not measured: no view came back."]
    title = f"What it remembers (history from truth, {scores['blind']} frames blind at a time):"
    return [title, "", *tables.needle(scores["needle"])]
