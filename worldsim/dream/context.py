"""The true frames that a dream begins from or is corrected by, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from worldsim.actions import as_vector
from worldsim.dream.predictor import Context, Frames


class DreamError(ValueError):
    """A dream was asked for something that its model or its method cannot do."""


def check_size(size: int, side: int, remembers_pixels: bool) -> None:
    """Whether a dream can show pictures of ``size`` pixels each way: its model's own or, remembered, multiples of them.

    Raises:
        DreamError: it cannot.
    """
    if size % side or size < side or (size > side and not remembers_pixels):
        able = f"{side} or a multiple of it" if remembers_pixels else f"{side}"
        raise DreamError(f"size: expected {able}, which this dream can show, found {size}")


def check_frames(frames: Any, size: int, what: str) -> Frames:
    """The frames, where they are uint8 (n, size, size, 3) with n >= 1.

    Raises:
        DreamError: they are not; it calls them ``what``.
    """
    frames = np.asarray(frames)
    if frames.ndim != 4 or frames.shape[1:] != (size, size, 3) or frames.dtype != np.uint8 or not len(frames):
        raise DreamError(
            f"{what}: expected uint8 (n, {size}, {size}, 3), found {frames.dtype} {frames.shape}"
        )
    return frames


def check_context(options: dict[str, Any], size: int, space: spaces.Space[Any]) -> Context:
    """What a reset gives: n >= 1 frames, the n - 1 actions between them, and poses; a grey frame where none is given.

    Raises:
        DreamError: frames of another size, or a number of actions that does not fit.
    """
    grey = np.full((1, size, size, 3), 128, np.uint8)
    frames = check_frames(options.get("frames", grey), size, "context frames")
    actions = [as_vector(space, action) for action in options.get("actions", [])]
    if len(actions) != len(frames) - 1:
        raise DreamError(
            f"context of {len(frames)} frames needs {len(frames) - 1} actions, found {len(actions)}"
        )
    none = np.zeros((0, spaces.flatdim(space)), np.float32)
    poses = options.get("poses")
    return Context(
        frames, np.stack(actions) if actions else none, None if poses is None else np.asarray(poses)
    )
