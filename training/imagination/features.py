"""What networks see in the stretches of walks, each walk looked at once and then kept on disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.imagination.config import CLIP, NOWHERE, Config
from training.imagination.play import Frames

Array = NDArray[np.float64]


class Networks(Protocol):
    """What :class:`worldsim.metrics.perceptual.Perceptual` offers."""

    def lpips(self, a: Frames, b: Frames) -> NDArray[np.float64]: ...

    def frame_features(self, frames: Frames) -> NDArray[np.float32]: ...

    def clip_features(self, clips: Frames) -> NDArray[np.float32]: ...


def networks() -> Networks:
    """The networks with their weights.

    Raises:
        NetworkError: they are not installed; the sentence says what to install.
    """
    from worldsim.metrics.perceptual import Perceptual

    return Perceptual.load(precision="auto")


class Features:
    """Features of walks (n, T, H, W, 3), by stretch.

    What was seen is kept in ``folder`` under a hash of the pictures and of whose eyes they were: the same pictures are
    never looked at twice, whoever made them.
    """

    def __init__(self, eyes: Networks, config: Config) -> None:
        self._eyes, self._config = eyes, config
        self._folder = None if config.cache == NOWHERE else Path(config.cache)
        self._whose = f"{type(eyes).__qualname__} {sorted(getattr(eyes, 'origin', {}).items())}"

    def frames(self, walks: Frames) -> Array:
        """Of single frames, (n, stretches, frames_each, D)."""
        c = self._config
        at = [np.linspace(a, b - 1, c.frames_each).round().astype(int) for a, b in c.stretches]
        return np.stack(
            [self._features_of("frames", walk[np.concatenate(at)]) for walk in self._each(walks, "frames")]
        )

    def clips(self, walks: Frames) -> Array:
        """Of clips of 16 frames, (n, stretches, clips_each, D)."""
        c = self._config
        starts = np.concatenate(
            [np.linspace(a, b - CLIP, c.clips_each).round().astype(int) for a, b in c.stretches]
        )
        at = starts[:, None] + np.arange(CLIP)
        return np.stack([self._features_of("clips", walk[at]) for walk in self._each(walks, "clips")])

    def _each(self, walks: Frames, what: str) -> tqdm[Frames]:
        return tqdm(walks, f"features of {what}", unit="walk")

    def _features_of(self, kind: str, pictures: Frames) -> Array:
        name = hashlib.blake2b(
            f"{kind} {pictures.shape} {self._whose}".encode() + np.ascontiguousarray(pictures).tobytes(),
            digest_size=16,
        ).hexdigest()
        file = None if self._folder is None else self._folder / f"{kind}-{name}.npy"
        if file is not None and file.is_file():
            found = np.load(file, allow_pickle=False)
        else:
            look = self._eyes.frame_features if kind == "frames" else self._eyes.clip_features
            found = np.asarray(look(pictures), np.float32)
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                part = file.with_suffix(f".{os.getpid()}.npy")  # another process may look at the same walk
                np.save(part, found)
                part.replace(file)
        return found.astype(float).reshape(len(self._config.stretches), -1, found.shape[-1])
