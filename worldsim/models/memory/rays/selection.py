"""Which remembered views matter for a pose: near ones first, none twice; without poses, views of every age."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.models.geometry import viewpoint, viewpoint_distance

CROWDING = 0.8
REACH = 0.25
INVALID = 1e6


def relevant_views(
    poses: Tensor, valid: Tensor, target: Tensor, count: int, scale: float, penalty: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Greedily choose views that lie near the target and apart from those already chosen.

    Args:
        poses: (B, N, 5) of the candidates; valid: (B, N) bool; target: (B, 5).
        count: how many to choose; must not exceed N.
        penalty: (B, N), added to the distance of each.

    Returns:
        indices (B, count), the most relevant LAST (so that keeping the last B keeps the best), and whether
        each is valid (B, count).
    """
    viewpoints = viewpoint(poses, scale)  # (B, N, 6)
    cost = viewpoint_distance(viewpoints, viewpoint(target, scale)[:, None])  # (B, N)
    if penalty is not None:
        cost = cost + penalty
    cost = cost.masked_fill(~valid, INVALID)
    chosen = []
    for _ in range(count):
        best = cost.argmin(1, keepdim=True)  # (B, 1)
        chosen.append(best)
        picked = viewpoints.gather(1, best[..., None].expand(-1, -1, viewpoints.shape[-1]))
        cost = cost + CROWDING * torch.exp(-viewpoint_distance(viewpoints, picked) / REACH)
        # none is chosen twice, not even when only invalid ones are left
        cost = cost.scatter(1, best, torch.inf)
    indices = torch.cat(chosen[::-1], 1)
    return indices, valid.gather(1, indices)


def spread_views(valid: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Views of every age, for worlds that tell no pose: evenly spaced over the valid ones, oldest first.

    Args:
        valid: (B, N) bool, in order of time; count: how many to choose; must not exceed N.

    Returns:
        as :func:`relevant_views`; the newest valid one is always chosen, and LAST.
    """
    n = valid.shape[1]
    order = valid.long().argsort(dim=1, stable=True)  # (B, N) the valid ones last, in order of time
    known = valid.sum(1, keepdim=True).clamp_min(count)  # (B, 1)
    step = torch.arange(1, count + 1, device=valid.device)
    indices = order.gather(1, n - known + step * known // count - 1)
    return indices, valid.gather(1, indices)
