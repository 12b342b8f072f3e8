"""The true context that a dream begins from, checked."""

from __future__ import annotations

from typing import Any

import numpy as np


class DreamError(ValueError):
    """A dream was asked for something that its model or its method cannot do."""


def check_size(size: int, own: int, remembers_pixels: bool) -> None:
    """Whether a dream can show pictures of ``size`` pixels each way: its model's own or, remembered, multiples of them.

    Raises:
        DreamError: it cannot.
    """
    if size % own or size < own or (size > own and not remembers_pixels):
        able = f"{own} or a multiple of it" if remembers_pixels else f"{own}"
        raise DreamError(f"size: expected {able}, which this dream can show, found {size}")


def check_context(options: dict[str, Any], size: int) -> tuple[np.ndarray, list[Any]]:
    """Frames uint8 (n, size, size, 3), n >= 1, and the n - 1 actions between them; a grey frame where none is given.

    Raises:
        DreamError: frames of another size, or a number of actions that does not fit.
    """
    frames = np.asarray(options.get("frames", np.full((1, size, size, 3), 128, np.uint8)))
    if frames.ndim != 4 or frames.shape[1:] != (size, size, 3) or frames.dtype != np.uint8 or not len(frames):
        raise DreamError(
            f"context frames: expected uint8 (n, {size}, {size}, 3), found {frames.dtype} {frames.shape}"
        )
    actions = list(options.get("actions", []))
    if len(actions) != len(frames) - 1:
        raise DreamError(
            f"context of {len(frames)} frames needs {len(frames) - 1} actions, found {len(actions)}"
        )
    return frames, actions
