"""Standing still: what changes though nobody moves, against the truth and from one frame to the next."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.bench.tasks.measured import Measured, Tools, compare, rollout, strip
from training.bench.truth import Truth
from worldsim.dream.env import Dream
from worldsim.metrics.motion import temporal_flickering

AFTER = (16, 96, 256)
"""Frames after which a picture is compared."""


def measure(dream: Dream[Any] | None, truth: Truth, tools: Tools) -> Measured:
    found, context = Measured(), truth.script.context
    true, shown = truth.walk.frames[context:], rollout(dream, truth, tools, context)
    at = np.array([n - 1 for n in AFTER if n <= len(shown)])
    compare(found, tools, [f"{i + 1}" for i in at], true[at], shown[at])
    rest = slice(min(len(shown) // 2, 16), None)  # a body that was let go slides on at first
    found.add("steadiness", temporal_flickering(shown[rest]))
    found.strip = strip(true, shown, [f"{i + 1} still" for i in range(len(true))])
    return found
