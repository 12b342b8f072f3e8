"""How far the colours of a dream as a whole have drifted: means of its latents over time, against the true ones.

What comes next cannot be known, so no single frame of a dream that is left alone can be asked to be the true one. But
over a hundred frames the colours should stay those of the world that it dreams of, and an adversary that sees one frame
and the one before it does not notice a colour that creeps. Contrast is left to the adversary: asked for in the same
way, it is given as noise (training/LOG.md, 13).
"""

from __future__ import annotations

from torch import Tensor


def moments(latents: Tensor) -> Tensor:
    """Of every frame (..., C, h, w) the mean of each row of each channel, (..., C h): sky, horizon and ground apart."""
    return latents.mean(-1).flatten(-2)


def variance(true: Tensor) -> Tensor:
    """Of each moment over true frames (N, C, h, w), (M,); at least a hundredth of the mean, which is divided by."""
    spread = moments(true).var(0)
    return spread.clamp_min(1e-2 * float(spread.mean()))


def gap(own: Tensor, true: Tensor) -> Tensor:
    """By how much the mean moments of a dream's frames (N, C, h, w) are above those of the true ones, (M,)."""
    return moments(own).mean(0) - moments(true).mean(0)


def pull(made: Tensor, gaps: Tensor, spread: Tensor) -> Tensor:
    """A loss that takes new frames (B, L, C, h, w) of dreams with these gaps (B, M) back to where they came from.

    Linear in the moments of the new frames, so that it vanishes with the gaps; in units of ``spread``, the
    :func:`variance` over true frames.
    """
    towards = moments(made).mean(1) * gaps / spread
    return towards.sum(-1).mean() / gaps.shape[-1] ** 0.5
