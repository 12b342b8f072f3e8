"""The loss of dead reckoning, step by step along recorded poses, and how far it drifts when it goes on from its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from training.data.clips import RowNoise, before, grounds
from training.data.episodes import LatentEpisode
from worldsim.models.geometry import TURN_UNIT, motion
from worldsim.models.odometry import N_RECENT, STANDING, STANDING_MOTIONS, Odometry
from worldsim.models.world_model import WorldModel

PITCH_NOISE = 1.0
"""Degrees by which the pitch told is wrong, so that the picture is asked for the true one."""
SHAKEN = 0.001
"""How much motions told are wrong in half of the walks, over the scale: in play, corrected poses shake them."""
ERROR_WEIGHT = 30.0
"""What an error of the scale, or of 15 degrees, costs."""

AFTER = 48
"""Frames after which :func:`measure_drift` looks."""


@dataclass
class Walk:
    """Frames acted in (B, L, C, h, w); normalised actions (B, N_RECENT - 1 + L, A), of which the last L are asked
    about; poses (B, N_RECENT + 1 + L, 5), the first N_RECENT + 1 given, the last of those the pose of the first frame;
    where the eye last stood (B, L) in the frames acted in."""

    latents: Tensor
    actions: Tensor
    poses: Tensor
    ground: Tensor


def walk_from(model: WorldModel, episode: LatentEpisode, start: int, length: int) -> Walk:
    """The walk of ``length`` actions from frame ``start`` of an episode with poses; one row."""
    assert episode.poses is not None
    actions_before = model.normalise(torch.cat([torch.zeros_like(episode.actions[:1]), episode.actions]))
    stop = start + length
    poses = torch.cat([before(episode.poses, start + 1, N_RECENT + 1), episode.poses[start + 1 : stop + 1]])
    actions = torch.cat(
        [before(actions_before, start + 1, N_RECENT - 1), actions_before[start + 1 : stop + 1]]
    )
    ground = grounds(episode.poses[:, 1])[start:stop]
    return Walk(episode.latents[None, start:stop].float(), actions[None], poses[None], ground[None])


def dead_reckon(odometry: Odometry, walk: Walk, start: Tensor, motions: Tensor) -> Tensor:
    """Poses (B, L, 5) reckoned from ``start`` (B, 5) and the last ``motions`` (B, N_RECENT, 5), newest first."""
    b, length = walk.latents.shape[:2]
    looks = odometry.look(walk.latents.flatten(0, 1)).unflatten(0, (b, length))
    newest_first, ground, pose, poses = walk.actions.flip(1), walk.ground[:, 0], start, []
    for i in range(length):
        actions = newest_first[:, length - 1 - i :][:, :N_RECENT]
        pose, moved = odometry.next_pose(pose, looks[:, i], actions, motions, ground)
        motions = torch.cat([moved[:, None], motions[:, :-1]], 1)
        level = (odometry.scale * motions[:, :STANDING_MOTIONS, 1].abs() < STANDING).all(1)
        ground = torch.where(level, pose[:, 1], ground)
        poses.append(pose)
    return torch.stack(poses, 1)


def last_motions(odometry: Odometry, walk: Walk) -> Tensor:
    """The motions (B, N_RECENT, 5) that led to a walk's first frame, newest first."""
    known = walk.poses[:, : N_RECENT + 1].flip(1)
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
    """Tell the odometry how far it is off after 48 frames of held-out episodes: root mean squares, since most walks are
    exact and a step missed is a whole one."""
    off = []
    for episode in episodes:
        if episode.poses is not None and len(episode.latents) > AFTER + 1:
            walk = walk_from(model, episode, 0, len(episode.latents) - 1)
            found = dead_reckon(
                model.odometry, walk, walk.poses[:, N_RECENT], last_motions(model.odometry, walk)
            )
            true = walk.poses[0, N_RECENT:]
            found = torch.cat([true[:1], found[0]])
            made, was = (motion(p[:-AFTER], p[AFTER:], model.scale) for p in (found, true))
            off.append((made - was).square())
    if off:
        right, up, ahead, yaw, _ = torch.cat(off).mean(0).sqrt().unbind()
        across = (right + ahead) / 2
        model.odometry.drift.copy_(torch.stack([across, up, across, yaw * TURN_UNIT]))


def odometry_loss(odometry: Odometry, walk: Walk, noise: RowNoise) -> Tensor:
    """Absolute errors of each step of a walk, told the true motions before it, and of the pitch that pictures show.

    Absolute, since most steps follow from the last ones exactly and the others are between two outcomes: squares would
    make all steps a little wrong for the sake of the few. In single precision, whatever else is trained in: what a step
    is off by adds up.
    """
    with torch.autocast(walk.poses.device.type, enabled=False):
        return _errors(odometry, replace(walk, latents=walk.latents.float()), noise)


def _errors(odometry: Odometry, walk: Walk, noise: RowNoise) -> Tensor:
    b, length = walk.latents.shape[:2]
    looks = odometry.look(walk.latents.flatten(0, 1))
    poses, rows = walk.poses, b * length
    moved = motion(poses[:, :-1], poses[:, 1:], odometry.scale)  # (B, N_RECENT + L, 5)
    recent = moved.unfold(1, N_RECENT, 1)[:, :length].flip(-1).transpose(2, 3)  # (B, L, N_RECENT, 5)
    shaken = SHAKEN * noise.normal(1, 1, 1).sign().clamp_min(0) * noise.normal(length, N_RECENT, 3)
    recent = torch.cat([recent[..., :3] + shaken, recent[..., 3:]], -1)
    actions = walk.actions.unfold(1, N_RECENT, 1).flip(-1).transpose(2, 3)  # (B, L, N_RECENT, A)
    wrong = PITCH_NOISE * noise.normal(length)
    before, after = poses[:, N_RECENT:-1], moved[:, N_RECENT:]
    asked = torch.cat([after[..., :4], after[..., 4:] - wrong[..., None] / TURN_UNIT], -1)
    made = odometry.estimate_motion(
        looks,
        actions.reshape(rows, N_RECENT, -1),
        recent.reshape(rows, N_RECENT, -1),
        (before[..., 4] + wrong).flatten(),
        (before[..., 1] - walk.ground).flatten(),
    )
    # Where the turn is exact the pitch told is not taken back.
    asked = torch.where(
        odometry.exact.bool(), torch.cat([asked[..., :3], made.view_as(asked)[..., 3:]], -1), asked
    )
    off = (made.float() - asked.reshape(rows, -1)).abs().sum(-1).mean()
    looked = odometry.pitch_of(looks)
    return ERROR_WEIGHT * off + 0.05 * F.smooth_l1_loss(looked.float() / 10, before[..., 4].flatten() / 10)
