"""Loop navigation as LoopNav has it: A to B (to C) is shown, the way back to A is dreamt and compared with truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.bench.tasks.measured import Measured, Tools, compare, rollout, strip
from training.bench.truth import Truth
from worldsim.dream.env import Dream

EVERY = 4
"""Frames of the way back between two that are compared."""
HOME = 4
"""Frames at its end, where A itself is seen again; compared apart."""


def measure(dream: Dream[Any] | None, truth: Truth, tools: Tools) -> Measured:
    found = Measured()
    if not truth.marks:  # on a map of its own, a policy may not have come back
        return found
    back = truth.marks[-1]
    true, shown = truth.walk.frames[back:], rollout(dream, truth, tools, back)
    group = truth.script.group
    at = np.arange(EVERY - 1, len(shown), EVERY)
    compare(found, tools, [group] * len(at), true[at], shown[at])
    home = slice(-HOME, None)
    compare(found, tools, [f"{group} home"] * len(shown[home]), true[home], shown[home])
    found.strip = strip(true, shown, [f"{i + 1} of {len(true)} back" for i in range(len(true))])
    return found
