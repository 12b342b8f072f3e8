"""Reading id pictures: which kind of thing a pixel shows, and which one of its kind.

An id is 0 for sky, 1000 + index in ``textures.FLOORS``, 2000 + index in ``textures.WALLS``, or 3000 + design
of a decal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = ("sky", "floor", "wall", "decal")  # an id's thousands index this


def kind(ids: NDArray[Any]) -> NDArray[np.int32]:
    """Index into KINDS of each id, same shape."""
    return np.asarray(ids // 1000, np.int32)


def which(ids: NDArray[Any]) -> NDArray[np.int32]:
    """Index of the texture or decal design of each id, same shape; 0 for sky."""
    return np.asarray(ids % 1000, np.int32)
