"""Fréchet distance between Gaussians fitted to features, and LFD: the same in a feature space that ships with us.

The *latent Fréchet distance* (LFD) takes the latents of an autoencoder of ours for features, pooled. It needs no
download and says how far two sets of frames or clips are apart as distributions. It is neither FID nor FVD: other
features, another scale. Compare LFDs only of the same autoencoder and the same number of samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Array = NDArray[np.float64]
Encode = Callable[[NDArray[np.uint8]], Tensor]
"""Frames uint8 (n, H, W, 3) to latents (n, C, h, w): ``Loaded.encode`` of a checkpoint is one."""

BATCH = 64  # frames encoded at once


class FrechetError(ValueError):
    """Too few samples, or samples that do not belong together."""


@dataclass(frozen=True)
class Gaussian:
    """Mean (D,) and covariance (D, D) of n feature vectors, in double precision."""

    mean: Array
    covariance: Array
    n: int


def fit(features: ArrayLike) -> Gaussian:
    """The Gaussian of features (n, D), with the unbiased covariance (n - 1), as FID's reference code has it.

    Raises:
        FrechetError: fewer than 2 vectors, another shape, or a value that is not finite.
    """
    x = np.asarray(features, float)
    if x.ndim != 2 or len(x) < 2:
        raise FrechetError(f"expected at least 2 feature vectors as (n, D), found shape {x.shape}")
    if not np.isfinite(x).all():
        raise FrechetError("expected finite features, found NaN or infinity")
    return Gaussian(x.mean(0), np.atleast_2d(np.cov(x, rowvar=False)), len(x))


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), squared 2-Wasserstein distance (Dowson and Landau 1982).

    The trace of (S_a S_b)^(1/2) is the sum of the singular values of S_a^(1/2) S_b^(1/2): both roots are symmetric and
    real, so that singular covariances (fewer samples than dimensions) need no special case. From n samples the
    distance is biased upwards, the more so the more dimensions there are.

    Raises:
        FrechetError: features of different dimension.
    """
    if a.mean.shape != b.mean.shape:
        raise FrechetError(
            f"expected features of one dimension, found {a.mean.shape[0]} and {b.mean.shape[0]}"
        )
    shared = np.linalg.svd(_root(a.covariance) @ _root(b.covariance), compute_uv=False).sum()
    apart = float(((a.mean - b.mean) ** 2).sum())
    spread = float(np.trace(a.covariance) + np.trace(b.covariance) - 2 * shared)
    return max(0.0, apart + spread)  # rounding may leave a little below zero


def frame_features(encode: Encode, frames: NDArray[np.uint8]) -> Array:
    """Mean and standard deviation of every latent channel over the grid: frames (n, H, W, 3) to (n, 2 C)."""
    return _pooled(_latents(encode, frames))


def clip_features(encode: Encode, clips: NDArray[np.uint8]) -> Array:
    """What frames look like and how they change: clips (n, T, H, W, 3), T >= 2, to (n, 4 C).

    The features of the frames, averaged over time; and for every channel the mean size and the standard deviation,
    over time and grid, of the latent's difference from one frame to the next.

    Raises:
        FrechetError: no clips of at least 2 frames.
    """
    if clips.ndim != 5 or clips.shape[1] < 2:
        raise FrechetError(f"expected clips (n, T, H, W, 3) of at least 2 frames, found shape {clips.shape}")
    rows = []
    for clip in clips:
        latents = _latents(encode, clip)  # (T, C, h, w)
        change = np.diff(latents, axis=0)
        rows.append([*_pooled(latents).mean(0), *np.abs(change).mean((0, 2, 3)), *change.std((0, 2, 3))])
    return np.array(rows)


def lfd_frames(encode: Encode, true: NDArray[np.uint8], dreamt: NDArray[np.uint8]) -> float:
    """Latent Fréchet distance of two sets of frames (n, H, W, 3); see the module for what it is not."""
    return frechet_distance(fit(frame_features(encode, true)), fit(frame_features(encode, dreamt)))


def lfd_clips(encode: Encode, true: NDArray[np.uint8], dreamt: NDArray[np.uint8]) -> float:
    """Latent Fréchet distance of two sets of clips (n, T, H, W, 3), which also sees how frames change."""
    return frechet_distance(fit(clip_features(encode, true)), fit(clip_features(encode, dreamt)))


def _latents(encode: Encode, frames: NDArray[np.uint8]) -> Array:
    parts = [
        encode(frames[i : i + BATCH]).detach().double().cpu().numpy() for i in range(0, len(frames), BATCH)
    ]
    return np.concatenate(parts)


def _pooled(latents: Array) -> Array:
    return np.concatenate([latents.mean((2, 3)), latents.std((2, 3))], axis=1)


def _root(covariance: Array) -> Array:
    """Symmetric square root of a positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(values.clip(0))) @ vectors.T)
