"""What a dream made up, as `training.imagination.latents` keeps it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from training.data.episodes import DataError


def dreamt_latents(word: str, file: str, like: Tensor) -> NDArray[np.floating]:
    """Latents (N, C, h, w) of a file, of the shape of ``like`` (C, h, w).

    Args:
        word: of the command line, which errors name.

    Raises:
        DataError: it is none of such latents.
    """
    try:
        latents: NDArray[np.floating] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{word}={file}: {error}") from None
    if latents.dtype.kind != "f" or latents.shape[1:] != tuple(like.shape) or not len(latents):
        raise DataError(
            f"{word}={file}: expected latents of (N, {', '.join(map(str, like.shape))}), found {latents.shape}"
        )
    return latents
