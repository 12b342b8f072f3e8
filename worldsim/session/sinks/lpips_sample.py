"""LPIPS of a run's dreams, computed when it is over, on a sample of its frames: play is not slowed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FRAMES = 512
"""Pairs that are kept of a run, however long: at 64 pixels 13 MB."""

Distance = Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float64]]
"""Two stacks of frames uint8 (n, H, W, 3) to the distance of each pair, (n,)."""


class LpipsSample:
    """Keeps every k-th pair of a true and a dreamt frame, k doubling whenever :data:`FRAMES` are full.

    Args:
        distance: :meth:`worldsim.metrics.perceptual.Perceptual.lpips`, or another.
    """

    def __init__(self, distance: Distance, frames: int = FRAMES) -> None:
        self._distance, self._frames = distance, frames
        self._every, self._count = 1, 0
        self._pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
        self._values: list[float] | None = None

    def add(self, true: NDArray[np.uint8], dreamt: NDArray[np.uint8]) -> None:
        """Take one pair of frames uint8 (H, W, 3)."""
        if self._count % self._every == 0:
            if len(self._pairs) == self._frames:
                self._pairs, self._every = self._pairs[::2], 2 * self._every
            if self._count % self._every == 0:
                self._pairs.append((true, dreamt))
                self._values = None
        self._count += 1

    def summary(self) -> dict[str, float | int]:
        """``mean`` over the ``n`` pairs that were kept, of which there is at least one."""
        if self._values is None:
            self._values = [float(self._distance(a[None], b[None])[0]) for a, b in self._pairs]
        return {"mean": round(float(np.mean(self._values)), 4), "n": len(self._values)}
