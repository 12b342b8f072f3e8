"""A wide picture as the square one that a model sees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def square(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The middle square of a picture (H, W, 3), uint8, as (size, size, 3)."""
    h, w = picture.shape[:2]
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    middle = picture[top : top + side, left : left + side]
    if side == size:
        return np.ascontiguousarray(middle)
    return np.array(Image.fromarray(middle).resize((size, size), Image.Resampling.BOX), np.uint8)
