"""Algorithm 3 of Meta-ARVDM: one autoregressive step, whatever denoises and whatever it refers to.

Initialisation (Algorithm 2) of an interactive dream is true context, so it lives with the dream's reset.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from worldsim import diffusion
from worldsim.schedules import Schedule, path

Denoise = Callable[[Tensor, Tensor], Tensor]
"""(z (B, w, C, H, W), noise_level (B, w)) -> predicted clean latents of the same shape."""


def autoregressive_step(
    denoise: Denoise, carried: Tensor, noise: Tensor, schedule: Schedule, steps: int
) -> tuple[Tensor, Tensor]:
    """Denoise a window from L_in to L_out: ``stride`` clean frames out, the rest carried on.

    Args:
        carried: (B, w - stride, C, H, W), frames at the first input levels.
        noise: (B, stride, C, H, W), fresh Gaussian frames.

    Returns:
        clean (B, stride, C, H, W) and the next ``carried`` (B, w - stride, C, H, W).
    """
    z = torch.cat([carried, noise], 1)  # (B, w, C, H, W)
    if z.shape[1] != schedule.window:
        raise ValueError(f"expected {schedule.window} frames in the window, found {z.shape[1]}")
    levels = path(schedule, steps).to(z.device)
    for now, then in pairwise(levels):
        now, then = now.expand(len(z), -1), then.expand(len(z), -1)
        z = diffusion.reverse(z, denoise(z, now), now, then)
    return z[:, : schedule.stride], z[:, schedule.stride :]
