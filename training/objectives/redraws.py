"""Frames that a model in training draws anew from true ones under noise: contexts with errors of its own.

Shown them, it is asked for the truth, as in Resampling Forcing (arXiv 2512.15702).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from worldsim.diffusion.process import Process, corrupt, from_x0, per_frame

STEP = 0.25
"""Step size by which frames are drawn, from one of the first ``STEPS`` multiples of it."""
STEPS = 3
CleanOf = Callable[[Tensor, Tensor], Tensor]
"""Noisy latents (R, L, ...) and their levels (R, L) to the clean ones that a model takes them for."""


def check(redrawn: float, redraws: int) -> None:
    """Whether a share of what is trained on can be drawn anew so often.

    Raises:
        ValueError: no share, or no redraw at all.
    """
    if not (0 <= redrawn <= 1 and redraws >= 1):
        raise ValueError(
            "expected redrawn from 0 to 1 and redraws of at least 1, "
            f"found redrawn={redrawn} and redraws={redraws}"
        )


@torch.no_grad()
def drawn_anew(process: Process, clean_of: CleanOf, z: Tensor, level: Tensor, noise: Tensor) -> Tensor:
    """Clips (R, L, ...) as they are drawn from themselves under noise of levels (R, L), multiples of the step size.

    What is at level 0 stays.
    """
    now = corrupt(process, z, noise, level)
    for _ in range(STEPS):
        then = (level - STEP).clamp_min(0)
        x0 = clean_of(now, level).float()
        rest = from_x0(process, x0, now, level, "eps")
        now, level = torch.where(per_frame(level > 0, z), corrupt(process, x0, rest, then), now), then
    return now
