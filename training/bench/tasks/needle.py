"""Needle by age: returning views, history from truth, by how many frames ago they were last seen (SSIM, LPIPS, SRR)."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.bench.tasks.measured import Measured, Tools, compare, dreamt, strip
from training.bench.truth import Truth
from training.evaluation.maze_views import MazeViews, palettes
from worldsim.dream.env import Dream
from worldsim.metrics.srr import retrieval
from worldsim.session.interfaces import BLIND


def measure(dream: Dream[Any] | None, truth: Truth, tools: Tools) -> Measured:
    found = Measured()
    steps = [
        s
        for s in dreamt(dream, truth, tools, truth.script.context, blind=BLIND, revisits=True)
        if s.revisit is not None
    ]
    if not steps:
        return found
    ages = [s.revisit.range for s in steps if s.revisit]
    true, shown = np.stack([s.true for s in steps]), np.stack([s.frames["dream"] for s in steps])
    compare(found, tools, ages, true, shown)
    if truth.script.world == "labmaze" and truth.walk.poses is not None:
        views, colours = MazeViews(true.shape[1]), palettes()
        for step, age in zip(steps, ages, strict=True):
            view = views.at(truth.script.seed, truth.walk.poses[step.index])
            verdict = retrieval(view, step.frames["dream"], colours)
            if verdict.trial:
                found.add(f"srr {age}", float(verdict.retrieved))
    words = [f"{s.index}, seen {s.revisit.age} ago" for s in steps if s.revisit]
    found.strip = strip(true, shown, words)
    return found
