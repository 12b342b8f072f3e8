"""The loss of dead reckoning: a walk is reckoned frame by frame, as in play, and compared with the recorded poses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.clips import RowNoise, before
from training.dataset import LatentEpisode
from worldsim.memory.geometry import motion, wrap
from worldsim.odometry import LATELY, Odometry
from worldsim.world_model import WorldModel

PITCH_NOISE = 1.0
"""Degrees by which the pitch is wrong at the start of a walk, so that the picture is asked for the true one."""

AFTER = 48
"""Frames after which :func:`measure_drift` looks."""


@dataclass
class Walk:
    """Frames acted in (B, L, C, h, w); normalised actions (B, LATELY - 1 + L, A), of which the last L are asked about;
    poses (B, LATELY + 1 + L, 5), the first LATELY + 1 given, the last of those the pose of the first frame."""

    latents: Tensor
    actions: Tensor
    poses: Tensor


def walk_from(model: WorldModel, episode: LatentEpisode, start: int, length: int) -> Walk:
    """The walk of ``length`` actions from frame ``start`` of an episode with poses; one row."""
    assert episode.poses is not None
    led = model.normalise(torch.cat([torch.zeros_like(episode.actions[:1]), episode.actions]))
    stop = start + length
    poses = torch.cat([before(episode.poses, start + 1, LATELY + 1), episode.poses[start + 1 : stop + 1]])
    actions = torch.cat([before(led, start + 1, LATELY - 1), led[start + 1 : stop + 1]])
    return Walk(episode.latents[None, start:stop].float(), actions[None], poses[None])


def reckon(odometry: Odometry, walk: Walk, start: Tensor, motions: Tensor) -> tuple[Tensor, Tensor]:
    """Poses (B, L, 5) reckoned from ``start`` (B, 5) and the last ``motions`` (B, LATELY, 5), newest first.

    Returns also what was seen in the frames, (B, L, D).
    """
    b, length = walk.latents.shape[:2]
    seen = odometry.look(walk.latents.flatten(0, 1)).unflatten(0, (b, length))
    newest_first, ground, pose, poses = walk.actions.flip(1), walk.poses[:, LATELY, 1], start, []
    for i in range(length):
        actions = newest_first[:, length - 1 - i :][:, :LATELY]
        pose, moved = odometry.next_pose(pose, seen[:, i], actions, motions, ground)
        motions = torch.cat([moved[:, None], motions[:, :-1]], 1)
        poses.append(pose)
    return torch.stack(poses, 1), seen


def last_motions(odometry: Odometry, walk: Walk) -> Tensor:
    """The motions (B, LATELY, 5) that led to a walk's first frame, newest first."""
    known = walk.poses[:, : LATELY + 1].flip(1)
    return motion(known[:, 1:], known[:, :-1], odometry.scale)


def fit_turns(model: WorldModel, episodes: list[LatentEpisode]) -> bool:
    """:meth:`Odometry.fit_turns` over all steps of episodes that have poses; whether the turns are exact."""
    known = [e for e in episodes if e.poses is not None]
    if not known:
        return False
    actions = model.normalise(torch.cat([e.actions for e in known]))
    motions = torch.cat(
        [motion(e.poses[:-1], e.poses[1:], model.scale) for e in known if e.poses is not None]
    )
    return model.odometry.fit_turns(actions, motions)


@torch.no_grad()
def measure_drift(model: WorldModel, episodes: list[LatentEpisode]) -> None:
    """Tell the odometry how far it is off after 48 frames of held-out episodes, at the 68th percentile."""
    off = []
    for episode in episodes:
        if episode.poses is not None and len(episode.latents) > AFTER + 1:
            walk = walk_from(model, episode, 0, len(episode.latents) - 1)
            found, _ = reckon(model.odometry, walk, walk.poses[:, LATELY], last_motions(model.odometry, walk))
            found, true = torch.cat([walk.poses[0, LATELY : LATELY + 1], found[0]]), walk.poses[0, LATELY:]
            made, was = (motion(p[:-AFTER], p[AFTER:], model.scale) for p in (found, true))
            off.append((made - was).abs())
    if off:
        right, up, ahead, yaw, _ = torch.cat(off).quantile(0.68, dim=0).unbind()
        across = (right + ahead) / 2
        model.odometry.drift.copy_(torch.stack([across, up, across, yaw * 15]))


def reckoning_loss(odometry: Odometry, walk: Walk, noise: RowNoise) -> Tensor:
    """Huber errors of each step and of the pose they add up to, from a start that is a little wrong."""
    start = walk.poses[:, LATELY].clone()
    start[:, 4] += PITCH_NOISE * noise.normal(1)[:, 0]
    motions = last_motions(odometry, walk)
    motions = motions * (1 + 0.05 * noise.normal(LATELY, 5)) + 0.002 * noise.normal(LATELY, 5)
    found, seen = reckon(odometry, walk, start, motions)
    true = walk.poses[:, LATELY + 1 :]
    position = (found[..., :3] - true[..., :3]).float() / odometry.scale
    yaw, pitch = wrap(found[..., 3] - true[..., 3]) / 15, (found[..., 4] - true[..., 4]) / 15
    drift = 3 * _huber(_steps(position)) + 0.3 * _huber(position) + 2 * _huber(_steps(yaw[..., None]))
    drift = drift + 0.3 * _huber(yaw) + _huber(pitch)
    shown = walk.poses[:, LATELY:-1, 4]  # of the frames acted in
    looked = odometry.pitch_of(seen.flatten(0, 1)).view_as(shown)
    return drift + 0.05 * F.smooth_l1_loss(looked.float() / 10, shown / 10)


def _steps(x: Tensor) -> Tensor:
    return torch.diff(x, dim=1, prepend=torch.zeros_like(x[:, :1]))


def _huber(x: Tensor) -> Tensor:
    return F.huber_loss(x * 10, torch.zeros_like(x), delta=2.0)
