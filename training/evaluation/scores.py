"""How like the true frames others are, kept episode by episode; the networks of perceptual scores."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.metrics.bootstrap import interval
from worldsim.metrics.perceptual import NetworkError, Perceptual
from worldsim.metrics.ssim import psnr, ssim

METRICS = {"ssim": ssim, "psnr": psnr}
LPIPS = "lpips"

Frames = NDArray[np.uint8]
K = TypeVar("K", bound=Hashable)
Row = dict[tuple[K, str], list[float]]
"""What one episode gave, by key and metric."""


class Scores(Generic[K]):
    """Likeness of pairs of frames by key.

    Args:
        names: of ``METRICS``; ``lpips`` is added where there are networks.
    """

    def __init__(self, names: tuple[str, ...], networks: Perceptual | None) -> None:
        self.names = (*names, *((LPIPS,) if networks else ()))
        self._networks = networks
        self._groups: dict[tuple[K, str], list[list[float]]] = {}
        self._row: dict[tuple[K, str], list[float]] = {}
        self._pairs: dict[K, list[tuple[Frames, Frames]]] = {}

    def add(self, key: K, true: Frames, other: Frames) -> None:
        """Compare two frames (H, W, 3) of the present episode."""
        for name in self.names:
            if name != LPIPS:
                self._row.setdefault((key, name), []).append(METRICS[name](true, other))
        if self._networks:
            self._pairs.setdefault(key, []).append((true, other))

    def end_episode(self) -> Row[K]:
        """What was added since the last; what comes now belongs to another episode, over which intervals are
        bootstrapped."""
        for key, pairs in self._pairs.items():
            assert self._networks is not None
            true, other = (np.stack(frames) for frames in zip(*pairs, strict=True))
            self._row[key, LPIPS] = self._networks.lpips(true, other).tolist()
        row, self._row, self._pairs = self._row, {}, {}
        self.take(row)
        return row

    def take(self, row: Row[K]) -> None:
        """Add an episode, which may have been played in another process."""
        for found, values in row.items():
            self._groups.setdefault(found, []).append(values)

    def of(self, key: K, name: str) -> dict[str, Any]:
        """Mean, 95% interval and n of one metric at a key."""
        return interval(self._groups.get((key, name), []))


def networks(asked: str, device: torch.device) -> Perceptual | None:
    """The networks of LPIPS and FVD, unless they are not asked for, or not there and not asked for by name.

    Args:
        asked: "true", "false" or "auto".

    Raises:
        NetworkError: they were asked for by name and are not here.
    """
    if asked == "false":
        return None
    try:
        return Perceptual.load(device)
    except NetworkError as error:
        if asked == "true":
            raise
        print(f"no LPIPS and no FVD: {error}")
        return None
