"""Free running: hundreds of frames of its own, against the distribution of true ones, stretch by stretch.

Here frames are only looked at (EfficientNet's features); :mod:`training.bench.stretches` makes scores of all episodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from training.bench.tasks.measured import Frames, Measured, Tools, rollout, strip
from training.bench.truth import Truth
from training.imagination.config import STRETCHES
from worldsim.dream.env import Dream
from worldsim.metrics.motion import motion_smoothness

EACH = 9
"""Frames of a stretch that are looked at."""


def measure(dream: Dream[Any] | None, truth: Truth, tools: Tools) -> Measured:
    context = truth.script.context
    shown = rollout(dream, truth, tools, context)
    found = _looked_at(shown, tools)
    found.strip = strip(truth.walk.frames[context:], shown, [f"{i + 1} free" for i in range(len(shown))])
    return found


def elsewhere(truth: Truth, tools: Tools) -> Measured:
    """The same actions in another true world."""
    return _looked_at(tools.worlds.elsewhere(truth).frames[truth.script.context :], tools)


def _looked_at(shown: Frames, tools: Tools) -> Measured:
    found = Measured()
    for a, b in STRETCHES:
        if b <= len(shown):
            found.add("smoothness", motion_smoothness(shown[a:b]))
    if tools.networks is not None:
        at = [np.linspace(a, b - 1, EACH).round().astype(int) for a, b in STRETCHES if b <= len(shown)]
        looked = [tools.networks.frame_features(shown[i]) for i in at]
        found.features = np.stack(looked).astype(np.float64)
    return found
