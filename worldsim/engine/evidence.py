"""What memory shows of a new view, as a picture: remembered ones warped to its pose, holes where none of them looks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldsim.engine.kernels.poses import Pose, rotation
from worldsim.engine.kernels.splatting import EDGE, FINER, MARGIN, WIDEST, splat
from worldsim.models.geometry import cell_rays
from worldsim.models.memory.rays.warp import BEHIND

TRUE, GENERATED, SMEAR = 1.0, 0.5, 0.2
"""Marks of a pixel that a true frame shows, of one from a frame that was dreamt, and of one that was dreamt much
smaller than it appears, which says little."""
Marks = NDArray[np.float32]
"""Of each pixel (H, W), 0 where nothing is known."""


class Drawn(NamedTuple):
    """What is remembered of a view: the picture uint8 (H, W, 3), grey where nothing is known; and, (H, W) each and 0
    where nothing is known, its marks, how far away everything is in the world's units, and how many times as large it
    appears as where it was remembered; and which frame a pixel comes from, -1 where nothing is known."""

    picture: NDArray[np.uint8]
    mark: NDArray[np.float32]
    depth: NDArray[np.float32]
    larger: NDArray[np.float32]
    source: NDArray[np.int64]


class Evidence:
    """Warps remembered pictures of ``size`` pixels each way; ``scale`` is the scene's unit in the world's, ``enlarged``
    how many times as large as it was drawn something made up is evidence, 0 for any; ``smears``: whether it is shown
    beyond that under a mark of its own."""

    def __init__(
        self, size: int, fov: float, scale: float, enlarged: float = 0.0, smears: bool = False
    ) -> None:
        self.size, self.scale, self.enlarged, self.smears = size, scale, enlarged or math.inf, smears
        self.rays = cell_rays(size, size, fov).numpy()
        self.reach = math.tan(math.radians(fov) / 2)

    def __call__(
        self,
        pose: Pose,
        pictures: NDArray[np.uint8],
        log_depth: NDArray[np.float32],
        poses: Sequence[Pose],
        marks: Sequence[float],
        counted: NDArray[np.bool_] | None = None,
    ) -> Drawn:
        """Draw what is remembered.

        Args:
            pose: (5,), of the new view; pictures: (R, H, W, 3), the best first, R may be 0.
            log_depth: (R, h, w), their log distances; poses: R of (5,); marks: R, TRUE or GENERATED.
            counted: (R, H, W), which of their pixels are drawn, None for all.
        """
        shown = np.full((self.size, self.size, 3), 127, np.uint8)
        depth, mark, larger = (np.zeros((self.size, self.size), np.float32) for _ in range(3))
        source = np.full((self.size, self.size), -1, np.int64)
        if counted is None:
            counted = np.ones((len(pictures), self.size, self.size), np.bool_)
        if len(pictures):
            mine, here = np.array(rotation(pose)), np.array(pose[:3], np.float64)
            turns = np.array([mine.T @ np.array(rotation(p)) for p in poses], np.float32)
            steps = np.array([mine.T @ (np.array(p[:3], np.float64) - here) for p in poses], np.float32)
            splat(
                np.ascontiguousarray(pictures), np.ascontiguousarray(log_depth, np.float32),
                np.ascontiguousarray(counted), self.rays, turns, steps, np.array(marks, np.float32), self.scale,
                self.reach, BEHIND, EDGE, MARGIN, WIDEST, FINER, shown, depth, mark, larger, source,
            )  # fmt: skip
        return Drawn(shown, mark, depth, larger, source)


def stack(picture: NDArray[np.uint8], mark: NDArray[np.float32]) -> NDArray[np.float32]:
    """Evidence as a generator takes it: colours in [-1, 1], 0 where nothing is known, and marks, those below 0 of what
    is just being changed: (4, H, W)."""
    colours = (picture.astype(np.float32) / 127.5 - 1) * (mark > 0)[..., None]
    return np.concatenate([colours.transpose(2, 0, 1), mark[None]])
