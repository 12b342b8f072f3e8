"""Relocalisation: where a true frame was seen from, found by what memory would draw from there.

Dead reckoning drifts, and a drifted memory is read in the wrong place. When a place comes back, the frame itself tells:
among poses near the one reckoned, the true one is where the reader's guess resembles the frame most.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from worldsim.models.world_model import WorldModel

LEAST = (1e-3, 1e-3, 1e-3, 0.02)
"""Drift that is not worth a correction: x, y, z (units of the scene) and yaw (degrees)."""
NOISE = 16.0
"""Variance of a guess's error against a frame of unit variance, times the number of cells that err together."""
ROUNDS = 2
KNOWN = 0.3
"""Mean squared error of a guess (unit-variance latents) below which the place is taken for known."""


Draw = Callable[[Tensor], Tensor]
"""Poses (K, 5) -> the latents (K, C, h, w) that memory would draw from there."""


def heights_to_try(model: WorldModel, drift: float) -> list[float]:
    """Heights to look at first, in units of the scene; ``drift``: how far heights are off, in the world's units."""
    heights = model.config.dream.heights
    return heights if drift > 0.1 * max(heights) * model.scale else heights[:1]


def relocalise(model: WorldModel, draw: Draw, latent: Tensor, pose: Tensor) -> Tensor:
    """The pose (5,) that a true frame, latent (C, h, w), was seen from, near the ``pose`` reckoned.

    The ``pose`` itself where memory does not know the place, or does not know it better from elsewhere. Solved by
    Gauss-Newton over position and yaw, with the drift that the odometry is known for as prior. ``draw`` is how memory
    draws what it remembers from before.
    """
    if not model.odometry.drift.any():
        return pose
    unit = torch.tensor([model.scale, model.scale, model.scale, 1.0], device=pose.device)
    drift = torch.maximum(model.odometry.drift, unit.new_tensor(LEAST)) * unit

    def miss(offsets: Tensor, at: Tensor) -> Tensor:
        """Guess minus frame (K, N) from the pose ``at``, moved by the offsets (K, 4)."""
        poses = at.repeat(len(offsets), 1)
        poses[:, :4] += offsets
        return (draw(poses) - latent).flatten(1)

    heights = heights_to_try(model, float(drift[1]))
    raised = torch.zeros(len(heights), 4, device=pose.device)
    raised[:, 1] = torch.tensor(heights, device=pose.device) * model.scale
    tried = miss(raised, pose)
    errors = tried.square().mean(1)
    best = errors.argmin()
    found, missed = pose.clone(), tried[best]
    found[:4] += raised[best]
    slope = (miss(torch.diag(drift), found) - missed) / drift[:, None]  # (4, N)
    curve = slope @ slope.T / NOISE + torch.diag(drift**-2)
    for _ in range(ROUNDS):
        found[:4] -= torch.linalg.solve(curve, slope @ missed / NOISE)
        missed = miss(raised[:1], found)[0]
    return found if missed.square().mean() < min(KNOWN, float(errors[0])) else pose
