"""Action following: the motion that visual odometry sees in dreamt frames, against the one of the true world.

``turn error`` in degrees and ``step error`` in the world's units are MIND's relative pose errors; ``turn`` and ``move``
are the shares of frames in which the camera turns, and the body moves, the way that it was asked to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.policies.moves import GAITS
from training.bench.odometry import FrameOdometry
from training.bench.tasks.measured import Measured, Tools, rollout, strip
from training.bench.truth import PLACES, Truth
from worldsim.dream.env import Dream

TURNED, MOVED = 0.2, 0.35
"""Shares of the most that a body turns, and walks, a frame, from which on it does."""


def measure(dream: Dream[Any] | None, truth: Truth, tools: Tools) -> Measured:
    found, context = Measured(), truth.script.context
    shown = np.concatenate([truth.walk.frames[context - 1 : context], rollout(dream, truth, tools, context)])
    assert truth.walk.poses is not None
    poses = truth.walk.poses[context - 1 :]
    asked = motions(poses)
    observed = FrameOdometry.of(truth.script.world).motions(shown, poses[:, 4])
    gait = GAITS[PLACES[truth.script.world][0]]
    turned, moved = TURNED * gait.turn, MOVED * gait.speed
    for a, b in zip(asked, observed, strict=True):
        found.add("turn error", abs(a[2] - b[2]))
        found.add("step error", float(np.hypot(*(a[:2] - b[:2]))))
        found.add("turn", float(_way(a[2], turned) == _way(b[2], turned)))
        found.add("move", float(_way(a[1], moved) == _way(b[1], moved)))
    found.strip = strip(truth.walk.frames[context:], shown[1:], [f"{i + 1} asked" for i in range(len(asked))])
    return found


def motions(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """From frame to frame of poses (n, 5): right, forward (of the level camera before), turn in degrees; (n - 1, 3)."""
    step, yaw = np.diff(poses[:, [0, 2]], axis=0), np.deg2rad(poses[:-1, 3])
    right = -step[:, 0] * np.cos(yaw) - step[:, 1] * np.sin(yaw)
    forward = -step[:, 0] * np.sin(yaw) + step[:, 1] * np.cos(yaw)
    return np.stack([right, forward, (np.diff(poses[:, 3]) + 180) % 360 - 180], 1)


def _way(value: float, least: float) -> int:
    return int(np.sign(value)) if abs(value) >= least else 0
