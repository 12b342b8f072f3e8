"""How alike two frames are: SSIM and PSNR of uint8 pictures."""

from __future__ import annotations

import numpy as np
from skimage.metrics import structural_similarity

WINDOW = 7  # side of the uniform SSIM window, in pixels: scikit-image's default
PSNR_CEILING = 100.0  # what two equal pictures score, so that means and JSON stay finite


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity of two frames, -1 to 1, 1 for equal ones.

    scikit-image's ``structural_similarity`` (Wang et al. 2004) with its defaults: uniform 7x7 window,
    sample covariance, K1 = 0.01, K2 = 0.03, data range 255, each colour channel on its own and then the mean.

    Args:
        a, b: uint8 (H, W, 3), of one shape, at least 7 pixels on each side.

    Raises:
        ValueError: the frames differ in shape or are no uint8 pictures.
    """
    _check(a, b)
    return float(structural_similarity(a, b, win_size=WINDOW, channel_axis=2, data_range=255))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two frames in dB, at most ``PSNR_CEILING``.

    Args:
        a, b: uint8 (H, W, 3) of one shape.

    Raises:
        ValueError: the frames differ in shape or are no uint8 pictures.
    """
    _check(a, b)
    difference = a.astype(np.float32) - b.astype(np.float32)
    error = float(np.mean(difference * difference))
    return PSNR_CEILING if error == 0 else min(PSNR_CEILING, 10 * float(np.log10(255.0**2 / error)))


def _check(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape or a.ndim != 3 or a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ValueError(
            "expected two uint8 frames (H, W, 3) of one shape, "
            f"found {a.dtype} {a.shape} and {b.dtype} {b.shape}"
        )
