"""Mixed noise levels for training: every pattern that a method of Meta-ARVDM may show the denoiser (section 4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PATTERNS = ("shared", "independent", "ramp", "pyramid")


@dataclass
class LevelsConfig:
    """Odds of the patterns: ``shared``, one level for the window (outpainting, GameNGen); ``independent``, one for
    each frame (Diffusion Forcing); ``ramp``, even steps along the window (FIFO, Rolling); ``pyramid``, non-decreasing
    with a slope and a start drawn at random (AR-Diffusion)."""

    shared: float = 0.4
    independent: float = 0.2
    ramp: float = 0.2
    pyramid: float = 0.2

    def __post_init__(self) -> None:
        odds = [getattr(self, name) for name in PATTERNS]
        if min(odds) < 0 or sum(odds) <= 0:
            raise ValueError(f"expected odds of at least 0 that do not all vanish, found {odds}")


def draw_levels(
    pattern: str, first: Tensor, each: Tensor, floor: float = 1e-3, noise_odds: float = 0.1
) -> Tensor:
    """Levels (B, w) of a pattern from uniform numbers.

    Args:
        first: (B, 3), uniform in [0, 1): where the pattern stands, its slope, and whether it is at pure noise.
        each: (B, w), one uniform number a frame.
        noise_odds: how often a ``shared`` level is exactly 1, which a rollout meets at every block's first step.

    Returns:
        levels in [floor, 1]; non-decreasing along the window but for ``independent``.
    """
    w = each.shape[1]
    place = torch.arange(w, device=each.device)
    if pattern == "shared":
        level = torch.where(first[:, 2:] < noise_odds, 1.0, first[:, :1]).expand(-1, w)
    elif pattern == "independent":
        level = each
    elif pattern == "ramp":  # from L_out to L_in of FIFO with this window, at a random progress
        level = (place + first[:, :1]) / w
    elif pattern == "pyramid":
        slope = 0.5 * first[:, 1:2].square()
        level = first[:, :1] * (1 + slope * w) - slope * (w - 1 - place)
    else:
        raise ValueError(f"expected a pattern of {', '.join(PATTERNS)}, found {pattern!r}")
    return level.clamp(floor, 1.0)
