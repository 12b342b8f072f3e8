"""The tasks by name, in the order in which results tell them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from training.bench.tasks import actions, ahead, free, loop, mirror, needle, still
from training.bench.tasks.measured import Measured, Tools
from training.bench.truth import Truth
from worldsim.dream.env import Dream

Measure = Callable[[Dream[Any] | None, Truth, Tools], Measured]

MEASURES: dict[str, Measure] = {
    "needle": needle.measure,
    "ahead": ahead.measure,
    "free": free.measure,
    "mirror": mirror.measure,
    "loop": loop.measure,
    "still": still.measure,
    "actions": actions.measure,
}
TRUTH = ("free", "mirror", "actions")
"""Tasks that say something of the true world too: what can be reached."""
TITLES = {
    "needle": "Needle: returning views by age, history from truth",
    "ahead": "Ahead: frames under recorded actions, uncorrected",
    "free": "Free running: distance of frames from all true ones, by stretch",
    "mirror": "Mirrored paths: the way back against the way out, by steps",
    "loop": "Loop navigation: the way back to A, by range",
    "still": "Standing still",
    "actions": "Action following: motion seen in dreamt frames",
}
