"""Temporal flickering and motion smoothness of one clip, after VBench, without its networks.

Both are on VBench's scale (Huang et al. 2024), 0 to 1, higher is better: 1 - error / 255, where the error is a mean
absolute difference of pixel values. The paper reports them in Table 2 and finds that neither tells a forgetful model.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Frame = NDArray[np.float64]
Interpolate = Callable[[Frame, Frame], Frame]


class MotionError(ValueError):
    """A clip that is too short, or no clip."""


def blend(before: Frame, after: Frame) -> Frame:
    """The frame midway between two frames as their mean, pixel by pixel: it follows no motion."""
    return (before + after) / 2


def temporal_flickering(frames: NDArray[np.uint8], still: ArrayLike | None = None) -> float:
    """1 - (mean absolute difference of neighbouring frames) / 255; 1 for a picture that does not change.

    VBench measures it on clips of static scenes only, which it finds by optical flow, because motion counts as flicker
    too. Here the caller, who knows the poses, says which neighbours show a camera at rest; without ``still`` all pairs
    count, and the number then mixes flicker with motion (as it does in Table 2, on clips that move).

    Args:
        frames: uint8 (T, H, W, 3), T >= 2.
        still: bool (T - 1,), whether the scene rests between frame i and frame i + 1.

    Raises:
        MotionError: no clip of at least 2 frames, or a ``still`` that does not fit or is nowhere true.
    """
    clip = _checked(frames, 2)
    differences = np.abs(np.diff(clip, axis=0)).mean((1, 2, 3))  # (T - 1,)
    if still is not None:
        rests = np.asarray(still, bool)
        if rests.shape != differences.shape or not rests.any():
            raise MotionError(
                f"expected still of shape {differences.shape} with at least one pair at rest, "
                f"found shape {rests.shape} and {int(rests.sum())} at rest"
            )
        differences = differences[rests]
    return float(1 - differences.mean() / 255)


def motion_smoothness(frames: NDArray[np.uint8], interpolate: Interpolate = blend) -> float:
    """1 - (mean absolute error of every second frame, given by its neighbours) / 255.

    Frames 1, 3, 5, ... are dropped and interpolated from the frames beside them, as in VBench; a last frame without
    a right neighbour does not count. VBench interpolates with a video prior (AMT), which follows motion; ``blend``
    does not, so that steady motion of a textured picture costs here and would not there. Compare clips of the same
    actions only, or pass a network's own function as ``interpolate``.

    Args:
        frames: uint8 (T, H, W, 3), T >= 3.
        interpolate: two float frames (H, W, 3), 0 to 255, to the one midway between them.

    Raises:
        MotionError: no clip of at least 3 frames.
    """
    clip = _checked(frames, 3)
    middles = range(1, len(clip) - 1, 2)
    errors = [np.abs(interpolate(clip[i - 1], clip[i + 1]) - clip[i]).mean() for i in middles]
    return float(1 - np.mean(errors) / 255)


def _checked(frames: NDArray[np.uint8], least: int) -> NDArray[np.float64]:
    clip = np.asarray(frames)
    if clip.dtype != np.uint8 or clip.ndim != 4 or len(clip) < least:
        raise MotionError(
            f"expected a uint8 clip (T, H, W, 3) of at least {least} frames, found {clip.dtype} {clip.shape}"
        )
    return clip.astype(np.float64)
