"""What a body runs into: a step of a dream ends before what its own newest pictures show in the way.

Dead reckoning is learned from true pictures. Before a wall that a dream made up it walks on, and whoever is inside of a
wall sees nothing but wall. So a step is taken along one axis of the world after the other, as bodies slide along walls,
and ends where what was seen lies within the body's heights and its width of the line.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim.engine.past import DreamPast
from worldsim.engine.pixel_recall import Measure, depths_of
from worldsim.models.geometry import cell_rays, rotation
from worldsim.models.world_model import WorldModel

Array = NDArray[np.float64]

RECENT = 2
"""Newest frames that are asked: older ones, looked up at reckoned poses, stop a body where nothing stands."""
FEW = 8
"""Places of a picture that must say that the way ends there; fewer may be a slip."""


def surroundings(past: DreamPast, measure: Measure, scale: float, fov: float, reach: float) -> list[Array]:
    """What each of the newest frames shows within ``reach`` of the newest pose, one (n, 3) each, relative to that pose,
    along the world's axes and in its units."""
    places = list(range(max(0, len(past) - RECENT), len(past)))
    far = torch.stack(depths_of(past, places, measure)).double().exp().cpu() * scale
    poses = torch.stack([past.poses[i] for i in places]).double().cpu()
    rays = torch.einsum("tij,nj->tni", rotation(poses), _rays(*far.shape[1:], fov))
    points = rays * far.flatten(1)[..., None] + (poses[:, None, :3] - poses[-1, :3])
    near = points.abs().amax(-1) < reach
    for k, i in enumerate(places):
        if (gone := past.forgotten[i]) is not None:
            near[k] &= ~torch.from_numpy(gone).flatten()
    return [row[mask].numpy() for row, mask in zip(points, near, strict=True)]


@lru_cache(maxsize=4)
def _rays(height: int, width: int, fov: float) -> Tensor:
    return cell_rays(height, width, fov).double()


def stopped(step: Array, surfaces: Sequence[Array], body: Sequence[float]) -> Array:
    """A step (3,) as far as what was seen, some (n, 3) around where it begins, lets a body take it; up and down freely.

    Args:
        body: half of its width, what it keeps free before it (distances right before a wall are read too long), and
            the heights from the eye between which it meets what it sees.
    """
    half, room, low, high = body
    free = step.copy()
    for axis, other in ((0, 2), (2, 0)):
        way, done = np.sign(step[axis]), free[other] if axis == 2 else 0.0
        for points in surfaces:
            met = (points[:, 1] > low) & (points[:, 1] < high) & (np.abs(points[:, other] - done) < half)
            along = way * points[met, axis]
            along = along[along > 0]
            if len(along) >= FEW:
                ends = max(0.0, float(np.partition(along, FEW - 1)[FEW - 1]) - room)
                free[axis] = way * min(abs(free[axis]), ends)
    return free


def without_collision(
    past: DreamPast, pose: Tensor, measure: Measure, scale: float, fov: float, body: Sequence[float]
) -> Tensor:
    """The pose (5,) that a reckoned one becomes where something stands in its way; the same one where nothing does."""
    step = (pose[:3] - past.poses[-1][:3].to(pose)).double().cpu().numpy()
    if np.abs(step[[0, 2]]).max() < 1e-4 * scale:
        return pose
    reach = float(np.abs(step).max()) + 2 * body[1]
    free = stopped(step, surroundings(past, measure, scale, fov, reach), body)
    if np.array_equal(free, step):
        return pose
    after = pose.clone()
    after[:3] = past.poses[-1][:3].to(pose) + torch.from_numpy(free).to(pose)
    return after


def without_collisions(
    model: WorldModel,
    pasts: Sequence[DreamPast],
    reckoned: Tensor,
    given: Sequence[Tensor | None],
    measure: Measure,
) -> Tensor:
    """:func:`without_collision` of B dreams' poses (B, 5) but for those that are ``given``; ``reckoned`` itself where
    nothing stands in anybody's way."""
    config = model.config
    body = config.dream.body
    if not body or not config.pixels:
        return reckoned
    poses = [
        pose if true is not None else without_collision(past, pose, measure, model.scale, config.fov, body)
        for past, pose, true in zip(pasts, reckoned, given, strict=True)
    ]
    free = torch.stack(poses)
    return reckoned if torch.equal(free, reckoned) else free
