"""What an action changes in the world, and what memory shows no longer.

Memory shows a block that is dug as it was before, and whoever draws the next frame believes it. So pixels that showed
it are forgotten, in every frame; and while something is dug or put down evidence says where, and shows nothing there.
What is drawn there is a memory like any other from then on, nearer than all that was seen behind it. How far away it is
is read off the newest picture, which the eye's middle points at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim.config import EditConfig
from worldsim.engine.evidence import Evidence, Marks
from worldsim.engine.kernels.poses import Pose, rotation
from worldsim.engine.past import DreamPast, Mask
from worldsim.engine.pixel_recall import Measure, depths_of
from worldsim.models.geometry import cell_rays
from worldsim.models.world_model import WorldModel

Array = NDArray[np.float64]

RADIUS = 0.8
"""Around the middle of what is dug or put down, in blocks: some of what is beside it is drawn anew, too."""
BEHIND, BEFORE = 0.4, 0.5
"""How far behind the face that is pointed at what is dug has its middle, and before it what is put down, in blocks."""


DIG, PLACE = KINDS = "dig", "place"
MARKS = {DIG: -1.0, PLACE: -0.5}
"""Marks of evidence where something is just being changed; others are of what memory shows, and not below 0."""


@dataclass(frozen=True)
class Edit:
    """What was done, one of :data:`KINDS`, around which middle (3,) in the world, and within which radius."""

    kind: str
    middle: tuple[float, float, float]
    radius: float


def pressed(config: EditConfig, action: Array, frame: int, before: Mapping[str, Sequence[int]]) -> list[str]:
    """Which of :data:`KINDS` an action (A,), in the world's own numbers, does that leads to this frame.

    Args:
        before: the frames that earlier edits of each kind led to: a key that is held rests.
    """
    down = [kind for key, kind in zip(config.keys, KINDS, strict=False) if action[key] > 0.5]
    return [kind for kind in down if not before.get(kind) or frame - before[kind][-1] >= config.rest]


def edits_of(
    config: EditConfig,
    kinds: Sequence[str],
    before: Pose,
    after: Pose,
    log_depth: NDArray[np.floating],
    reach: float,
    scale: float,
) -> list[Edit]:
    """What is dug and put down, of the kinds that :func:`pressed` gives.

    Args:
        before: (5,), where it was pressed; after: (5,), the camera turns first.
        log_depth: (h, w), seen from ``before``; reach: half a picture's width one away.
    """
    way = np.array(rotation(after))[:, 2]
    right, up, forward = np.array(rotation(before)).T @ way
    if forward <= 0:
        return []
    (h, w), x, y = log_depth.shape, right / forward / reach, up / forward / reach
    if max(abs(x), abs(y)) >= 1:
        return []
    away = float(np.exp(float(log_depth[int((1 - y) / 2 * h), int((x + 1) / 2 * w)]))) * scale
    if away > config.reach:
        return []
    found = []
    for kind in kinds:
        further = BEHIND if kind == DIG else -BEFORE
        x, y, z = np.array(before[:3]) + way * (away + further * config.block)
        found.append(Edit(kind, (float(x), float(y), float(z)), RADIUS * config.block))
    return found


def forgotten(
    edits: Sequence[Edit],
    pose: Pose,
    log_depth: NDArray[np.floating],
    rays: NDArray[np.floating],
    scale: float,
) -> Mask | None:
    """The pixels (h, w) of a frame that show what was dug since; None where there are none."""
    dug = [edit for edit in edits if edit.kind == DIG]
    if not dug:
        return None
    away = np.exp(log_depth.astype(np.float64)).reshape(-1, 1) * scale
    points = (rays * away) @ np.array(rotation(pose)).T + np.array(pose[:3])
    gone = np.zeros(len(points), np.bool_)
    for edit in dug:
        gone |= np.square(points - np.array(edit.middle)).sum(1) < edit.radius**2
    return gone.reshape(log_depth.shape) if gone.any() else None


def edit_marks(edits: Sequence[Edit], pose: Pose, rays: NDArray[np.floating], size: int) -> Marks | None:
    """Where a view shows what is being changed: marks (size, size), 0 elsewhere; None where it does not show it."""
    marks = np.zeros(len(rays), np.float32)
    for edit in edits:
        middle = np.array(rotation(pose)).T @ (np.array(edit.middle) - np.array(pose[:3]))
        along = rays @ middle
        marks[(along > 0) & (np.square(middle).sum() - np.square(along) < edit.radius**2)] = MARKS[edit.kind]
    return marks.reshape(size, size) if marks.any() else None


def change(
    past: DreamPast, model: WorldModel, action: Tensor, pose: Pose, draw: Evidence, measure: Measure
) -> Marks | None:
    """Forget what an action (A,), normalised, digs in a dream, and mark where the next view (5,) shows what it changes.

    Returns:
        marks (H, W); None where nothing changes.
    """
    config = model.config.dream.edits
    if not config.keys or not model.config.pixels:
        return None
    raw = (action.cpu() * model.action_std.cpu() + model.action_mean.cpu()).numpy()
    if not (kinds := pressed(config, raw, past.count, past.edited)):
        return None
    far = [d.float().cpu().numpy() for d in depths_of(past, range(len(past)), measure)]
    poses = torch.stack(past.poses).tolist()
    made = edits_of(config, kinds, poses[-1], pose, far[-1], draw.reach, model.scale)
    for edit in made:
        kept = [index for index in past.edited.get(edit.kind, []) if index >= past.indices[0]]
        past.edited[edit.kind] = [*kept, past.count]
    rays = cell_rays(far[-1].shape[0], far[-1].shape[1], model.config.fov).numpy()
    for i in range(len(past)) if made else ():
        gone, before = forgotten(made, poses[i], far[i], rays, model.scale), past.forgotten[i]
        past.forgotten[i] = before if gone is None else gone if before is None else gone | before
    return edit_marks(made, pose, draw.rays, draw.size)
