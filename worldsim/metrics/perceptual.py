"""Distances and features of networks that know pictures and videos, in one place: LPIPS, FVD, EfficientNet's features.

    networks = Perceptual.load()
    networks.lpips(true, dreamt)                                     # of every pair of frames
    fvd(networks.clip_features(true), networks.clip_features(dreamt))  # of two sets of clips

The weights come out of installed packages, nothing is downloaded (``worldsim.metrics.networks.weights``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from worldsim.metrics.frechet import fit, frechet_distance
from worldsim.metrics.networks import efficientnet, i3d, lpips, weights
from worldsim.metrics.networks.weights import NetworkError
from worldsim.runtime import precision as resolved

__all__ = ["NetworkError", "Perceptual", "fvd"]


@dataclass
class Perceptual:
    """The networks, each loaded when it is first used. Made by :meth:`load`.

    Attributes:
        origin: of every network the package, its version, the file and the beginning of its SHA-256.
    """

    origin: dict[str, str]
    device: torch.device | str = "cpu"
    precision: str = "fp32"
    _loaded: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, device: torch.device | str = "cpu", precision: str = "fp32") -> Perceptual:
        """Find the weights of all networks; none is loaded yet.

        ``precision`` is I3D's, which costs most: fp32, bf16, or auto, the latter where the hardware is faster at it.

        Raises:
            NetworkError: a package is not installed; the sentence says how to install it.
        """
        chosen = resolved(precision, device)
        origin = {name: weights.origin(name) for name in weights.SOURCES}
        if chosen == "bf16":
            origin["i3d"] += ", bf16"
        return cls(origin, device, chosen)

    def lpips(
        self, a: NDArray[np.uint8], b: NDArray[np.uint8], backbone: str = "alex"
    ) -> NDArray[np.float64]:
        """LPIPS v0.1 of each pair of frames uint8 (n, H, W, 3), ``alex`` or ``vgg``: (n,), 0 for equal ones."""
        network = self._network(f"lpips_{backbone}", lambda: lpips.load(backbone))
        return lpips.lpips(network, a, b)

    def frame_features(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """EfficientNet-Lite0's of frames uint8 (n, H, W, 3): (n, 1280)."""
        return efficientnet.frame_features(
            self._network("efficientnet", efficientnet.load), frames, self.device
        )

    def clip_features(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """I3D's of clips uint8 (n, T, H, W, 3), T >= 9: (n, 400), what :func:`fvd` compares."""
        network = self._network("i3d", i3d.load)
        if self.precision == "bf16":
            network.to(memory_format=torch.channels_last_3d)
        return i3d.clip_features(network, clips, self.device, self.precision)

    def _network(self, name: str, load: Any) -> Any:
        if name not in self._loaded:
            self._loaded[name] = load().to(self.device)
        return self._loaded[name]


def fvd(features_a: ArrayLike, features_b: ArrayLike) -> float:
    """Fréchet video distance of two sets of clips by their I3D features (n, 400), n >= 2 each.

    Small samples bias it upwards: compare it only of equal n, beside that of true clips with true ones.

    Raises:
        FrechetError: fewer than 2 clips, features of different size, or not finite.
    """
    return frechet_distance(fit(features_a), fit(features_b))
