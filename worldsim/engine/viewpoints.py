"""Where remembered frames were seen from, as plain numbers, and which of them matter for a pose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldsim.engine.kernels.poses import Pose, relevant, viewpoint
from worldsim.engine.past import DreamPast
from worldsim.models.world_model import WorldModel


@dataclass(frozen=True)
class Viewpoint:
    """Where a remembered frame was seen from: its pose, ``viewpoint`` (6,) of it, and its index."""

    pose: Pose
    viewpoint: np.ndarray
    index: int


def viewpoints(poses: Sequence[Pose], indices: Sequence[int], scale: float) -> list[Viewpoint]:
    """Those of n frames; ``scale`` is the scene's unit in the world's."""
    return [Viewpoint(p, viewpoint(p, scale), i) for p, i in zip(poses, indices, strict=True)]


def indices_of(rows: Sequence[Sequence[Any]]) -> list[list[int]]:
    """The indices of the views of several dreams."""
    return [[view.index for view in row] for row in rows]


def most_relevant(
    views: Sequence[Viewpoint], pose: Pose, count: int, scale: float, penalty: np.ndarray | None = None
) -> list[int]:
    """Which ``count`` views (or all, where there are fewer) matter most at a pose (5,), the best first.

    ``penalty`` (N,) is how much farther off each view counts than it is.
    """
    places = [view.viewpoint for view in views]
    return relevant(places, viewpoint(pose, scale), min(count, len(views)), penalty)


def read_views(past: DreamPast, views: Sequence[Viewpoint], pose: Pose, model: WorldModel) -> list[Viewpoint]:
    """The views that a model reads for a pose (5,) of a dream, the best first."""
    generated = np.array([view.index >= past.true_until for view in views])
    penalty = model.config.dream.generated_penalty * generated
    best = most_relevant(views, pose, model.config.memory.reads, model.scale, penalty)
    return [views[i] for i in best]
