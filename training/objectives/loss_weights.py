"""Weights of the denoising loss of each frame: min-SNR, and fused SNR that counts what earlier frames show.

A weight belongs to the squared error of the predicted quantity (x0, eps or v). The three differ by the factors of the
exact conversions, so that one and the same network is trained whatever it predicts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.diffusion.process import KINDS, DiffusionError, Process, snr


def min_snr(process: Process, level: Tensor, kind: str = "v", cap: float = 5.0) -> Tensor:
    """min(SNR, cap) on the error of x0, carried over to ``kind`` (Hang et al. 2023). Any shape of levels.

    Raises:
        DiffusionError: a kind other than x0, eps or v.
    """
    ratio = snr(process, level)
    return _for_kind(process, ratio.clamp_max(cap), ratio, kind)


def fused_snr(
    process: Process,
    level: Tensor,
    kind: str = "v",
    cap: float = 5.0,
    decay: float = 0.96,
    causal: bool = True,
) -> Tensor:
    """min-SNR with the ratio of every frame fused with that of the frames before it (Diffusion Forcing, section 6.1.1).

    A frame that follows clean frames is well determined even where it is noise itself. With S_t = min(SNR_t, cap) / cap
    and the running mean C_t = decay C_{t-1} + (1 - decay) S_t (C_1 = S_1), the fused ratio is the probabilistic sum
    1 - (1 - decay C_{t-1}) (1 - S_t); nothing precedes the first frame.

    Args:
        level: (B, T).
        causal: frames see earlier frames alone; otherwise C is the mean of what comes before and what comes after.

    Returns:
        (B, T); at ``decay`` 0, and for the first frame of a causal model, the weight of :func:`min_snr`.

    Raises:
        DiffusionError: a kind other than x0, eps or v.
    """
    ratio = snr(process, level) / cap  # (B, T)
    clipped = ratio.clamp_max(1)
    around = _shown_before(clipped, decay)
    if not causal:
        around = (around + _shown_before(clipped.flip(1), decay).flip(1)) / 2
    uncertainty = 1 - decay * around
    fused_clipped, fused = 1 - uncertainty * (1 - clipped), 1 - uncertainty * (1 - ratio)
    return _for_kind(process, cap * fused_clipped, cap * fused, kind)


def clip_noise(noise: Tensor, limit: float = 6.0) -> Tensor:
    """Gaussian noise with every value held in [-limit, limit] (section 6.1.1)."""
    return noise.clamp(-limit, limit)


def _shown_before(clipped: Tensor, decay: float) -> Tensor:
    """C_{t-1} for every frame t: (B, T), 0 for the first."""
    running, means = torch.zeros_like(clipped[:, :1]), []
    for t in range(clipped.shape[1]):
        means.append(running)
        now = clipped[:, t : t + 1]
        running = now if t == 0 else decay * running + (1 - decay) * now
    return torch.cat(means, 1) if means else clipped


def _for_kind(process: Process, weight: Tensor, ratio: Tensor, kind: str) -> Tensor:
    """A weight of the x0 error, carried over to the error of ``kind`` at signal-to-noise ``ratio``."""
    if kind == "x0":
        return weight
    if kind == "eps":  # |x0 error|^2 = |eps error|^2 / SNR; weight and ratio vanish together at pure noise
        return torch.where(ratio > 0, weight / ratio, torch.ones_like(weight))
    if kind == "v":  # |x0 error|^2 = sigma^2 |v error|^2
        return weight * process.sigma_at(ratio).square()
    raise DiffusionError(f"kind of prediction: expected one of {', '.join(KINDS)}, found {kind!r}")
