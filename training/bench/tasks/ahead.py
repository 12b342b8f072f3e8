"""How far ahead a model holds: true context, then frames under the recorded actions that nothing corrects."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.bench.tasks.measured import Measured, Tools, compare, rollout, strip
from training.bench.truth import Truth
from training.evaluation.ahead import HORIZONS
from worldsim.dream.env import Dream


def measure(dream: Dream[Any] | None, truth: Truth, tools: Tools) -> Measured:
    found, context = Measured(), truth.script.context
    true, shown = truth.walk.frames[context:], rollout(dream, truth, tools, context)
    at = np.array([h - 1 for h in HORIZONS if h <= len(shown)])
    compare(found, tools, [f"{h + 1}" for h in at], true[at], shown[at], with_psnr=True)
    found.strip = strip(true, shown, [f"{i + 1} ahead" for i in range(len(true))])
    return found
