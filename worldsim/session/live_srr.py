"""SRR while it is played: whether a dream shows the true floor, wall and decals, where the world says what it shows."""

from __future__ import annotations

from typing import Any

import numpy as np

from worldsim.metrics.srr import Palettes, View, retrieval, view
from worldsim.session.interfaces import Surfaces


class LiveSrr:
    """Judges dreams of a world by what each pixel of its present picture shows.

    On a returning view alone: a verdict costs some milliseconds (6 in the median), and only there is there a question.
    """

    def __init__(self, world: Surfaces) -> None:
        self._world = world
        self._palettes = Palettes(**world.surface_colours)

    @classmethod
    def of(cls, env: Any) -> LiveSrr | None:
        """The judge of a world under its wrappers; None where the world does not say what it shows."""
        world = getattr(env, "unwrapped", env)
        return cls(world) if hasattr(world, "surfaces") and hasattr(world, "surface_colours") else None

    def look(self, true: np.ndarray) -> View:
        """The present true frame, uint8 (H, W, 3), taken apart; before the world's next step."""
        return view(true, *self._world.surfaces())

    def retrieved(self, labelled: View, dreamt: np.ndarray) -> bool | None:
        """Whether floor, wall and decals are all retrieved; None where the true frame shows too little to judge."""
        verdict = retrieval(labelled, dreamt, self._palettes)
        return verdict.retrieved if verdict.trial else None
