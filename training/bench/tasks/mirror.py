"""Mirrored paths: what was imagined on the way out should be there on the way back (MIND's gsc).

This asks for no truth. Actions lead out and back along the same poses of the true world; a frame of the way out is
compared with the one of the way back whose true pose is nearest. ``chance`` is the frame that belongs half a path
farther: a dream that has faded is alike everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.bench.tasks.measured import Measured, Tools, compare, rollout, strip
from training.bench.truth import Truth
from worldsim.dream.env import Dream

SCALES = {"blocks": 4.0, "labmaze": 1.0, "luanti": 4.0}
"""Units of a world that count as much as a radian, when it is asked which pose is nearest."""


def pairs(poses: NDArray[np.float64], out: int, back: int, scale: float) -> NDArray[np.int64]:
    """For each frame of the way out but the last, from ``out`` to ``back``, the nearest frame of the way back."""
    ways, returns = poses[out : back - 1], poses[back:]
    moved = np.linalg.norm(ways[:, None, :3] - returns[None, :, :3], axis=2)
    turned = np.abs((ways[:, None, 3] - returns[None, :, 3] + 180) % 360 - 180)
    turned = turned + np.abs(ways[:, None, 4] - returns[None, :, 4])
    return back + (moved / scale + np.deg2rad(turned)).argmin(1)


def measure(dream: Dream[Any] | None, truth: Truth, tools: Tools) -> Measured:
    found, group = Measured(), truth.script.group
    out, back = truth.marks
    assert truth.walk.poses is not None
    nearest = pairs(truth.walk.poses, out, back, SCALES[truth.script.world])
    shown = np.concatenate([truth.walk.frames[:out], rollout(dream, truth, tools, out)])
    ways, returns = shown[out : back - 1], shown[nearest]
    compare(found, tools, [group] * len(ways), ways, returns)
    elsewhere = np.roll(returns, len(returns) // 2, axis=0)
    compare(found, tools, [f"{group} chance"] * len(ways), ways, elsewhere)
    found.strip = strip(ways, returns, [f"{i + 1} out, and back" for i in range(len(ways))])
    return found
