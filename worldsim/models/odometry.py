"""Dead reckoning: how the pose changes under an action, judged from the last picture and the last motions (learned)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.models.geometry import PITCH_UNIT, POSE, TURN_UNIT, motion, move, seen_from

N_RECENT = 3
"""Actions and motions that are looked back on: a jump is told from a fall by more than one of them."""
RESTING, CREEPING, STARTING, IDLING = 0.0005, 0.004, 0.005, 0.015
"""Lengths of motions, over the scale, below which one stands still; see :func:`apply_deadband`."""
TURNING = 0.05 / TURN_UNIT
"""Turns, in the unit of motions, below which the camera is not turned: 0.05 degrees."""
SLOWING = 0.7
"""What slows down loses more than this leaves of a motion (0.55 in Blocks)."""
STANDING = 0.01
"""What a motion goes up or down at most, in the world's units, where one stands; see :func:`standing_height`."""
STANDING_MOTIONS = 2
"""Motions that have to: at the top of a jump there is one."""
STRIDE = 0.1
"""Motions as the network sees and tells them are over this."""
HIDDEN, CHANNELS, VIEW_CHANNELS = 256, 48, 32
FLOOR_MARGIN = 0.01
"""Units of the world that one may be reckoned to stand too low and still stand on a whole step."""
PLACE = 6  # what else is known: pitch, height three times, and how the action turns the camera


class Odometry(nn.Module):
    """The change of pose from one frame to the next, and the pitch of a view.

    Bodies go on in the direction in which they went, however the camera turns, and are pushed where it looks once the
    action has turned it. So motions are seen, and told, from the level camera after the turn that the action is known
    for: there, a step is nearly the sum of a part of the last one and of a push. A linear map of actions and motions
    says that, a network what is left: what stands in the way, where there is nothing to stand on.

    It is told the pitch reckoned so far, which the picture shows, and how far the eye is above where it last stood, of
    which the worlds made of blocks have whole steps: a fall ends on one. Where a world turns the camera by the action
    and nothing else, :meth:`fit_turns` finds it out, and no network meddles. ``still`` is for worlds that tell no pose:
    there is nothing to learn from, and every pose stays zero.
    """

    turns: Tensor
    exact: Tensor
    drift: Tensor

    def __init__(
        self, channels: int, grid: tuple[int, int], action_dim: int, scale: float, still: bool = False
    ) -> None:
        super().__init__()
        self.scale, self.still = scale, still
        cells = (grid[0] // 2) * (grid[1] // 2)
        self.see = nn.Sequential(
            nn.Conv2d(channels, CHANNELS, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(CHANNELS, CHANNELS, 2, stride=2),
            nn.SiLU(),
            nn.Conv2d(CHANNELS, VIEW_CHANNELS, 1),
            nn.SiLU(),
            nn.Flatten(),
        )
        known = N_RECENT * (action_dim + POSE) + PLACE
        self.direct = nn.Linear(known, POSE)
        self.correct = nn.Sequential(
            nn.Linear(VIEW_CHANNELS * cells + known, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, POSE),
        )
        self.pitch = nn.Linear(VIEW_CHANNELS * cells, 1)
        self.register_buffer("turns", torch.zeros(2, action_dim + 1))
        self.register_buffer("exact", torch.zeros(()))
        # How far it is usually off after 48 frames: x, y, z over the scale, yaw in degrees; 0 where nobody measured.
        self.register_buffer("drift", torch.zeros(4))
        last = self.correct[-1]
        assert isinstance(last, nn.Linear)
        for layer in (last, self.direct):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def look(self, latents: Tensor) -> Tensor:
        """What the picture tells: latents (N, C, h, w) to features (N, D)."""
        return cast(Tensor, self.see(latents))

    def pitch_of(self, features: Tensor) -> Tensor:
        """The pitch (N,) in degrees that the pictures suggest; from :meth:`look`."""
        if self.still:
            return torch.zeros_like(features[:, 0])
        return cast(Tensor, self.pitch(features)[:, 0] * PITCH_UNIT)

    def estimate_motion(
        self, features: Tensor, actions: Tensor, motions: Tensor, pitch: Tensor, height: Tensor
    ) -> Tensor:
        """The motion (N, 5) that the newest action makes, as :func:`worldsim.models.geometry.motion` defines it.

        Args:
            features: (N, D), from :meth:`look` at the frame acted in.
            actions: (N, N_RECENT, A), normalised, the newest (whose motion is asked) first.
            motions: (N, N_RECENT, 5), the last ones, newest first; pitch: (N,) in degrees, reckoned so far.
            height: (N,), of the eye above where it last stood (:func:`standing_height`), in the world's units.
        """
        turned = F.linear(actions[:, 0], self.turns[:, :-1], self.turns[:, -1])
        known = odometry_features(turned, actions, motions, pitch, height)
        made = STRIDE * cast(Tensor, self.direct(known) + self.correct(torch.cat([features, known], -1)))
        step = seen_from(made[:, :3], -TURN_UNIT * turned[:, 0])
        return torch.cat([step, torch.lerp(made[:, 3:], turned, self.exact)], -1)

    def fit_turns(self, actions: Tensor, motions: Tensor) -> bool:
        """Fit yaw and pitch of motions (N, 5) as an affine map of the actions (N, A) that led to them.

        From then on they are taken from this map alone if it is exact: within 0.02 degrees for 95 in 100 of the
        motions (the others may be stopped by a limit of the pitch). Returns whether it is.
        """
        known = torch.cat([actions, torch.ones_like(actions[:, :1])], -1).double().cpu()
        made, kept = motions[:, 3:].double().cpu(), torch.ones(len(motions), dtype=torch.bool)
        for _ in range(3):
            # By singular values, since some actions never change.
            fit = torch.linalg.lstsq(known[kept], made[kept], driver="gelsd").solution
            off = (known @ fit - made).abs().amax(1) * TURN_UNIT  # degrees
            kept = off <= off.quantile(0.95)
        self.turns.copy_(fit.T)
        self.exact.fill_(float(off[kept].max() < 0.02))
        return bool(self.exact)

    def next_pose(
        self, pose: Tensor, features: Tensor, actions: Tensor, motions: Tensor, ground: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The next pose (N, 5) and the motion made (N, 5); ``ground`` (N,) is :func:`standing_height`."""
        if self.still:
            return pose, torch.zeros_like(pose)
        delta = self.estimate_motion(features, actions, motions, pose[:, 4], pose[:, 1] - ground)
        delta = apply_deadband(
            delta, motions[:, 0], (actions[:, 0] == actions[:, 1]).all(1), bool(self.exact)
        )
        after = move(pose, delta, self.scale)
        # Where the pitch met its limit the motion made is smaller than the one predicted.
        return after, motion(pose, after, self.scale)


def odometry_features(
    turned: Tensor, actions: Tensor, motions: Tensor, pitch: Tensor, height: Tensor
) -> Tensor:
    """What the network is told besides pictures, (N, N_RECENT * (A + POSE) + PLACE); arguments as those of
    :meth:`Odometry.reckon`, and how the newest action turns the camera, (N, 2)."""
    # Each motion was told from the camera before it: the newest has turned by its own turn since, the one before
    # by both.
    since = TURN_UNIT * (turned[:, :1] + motions[..., 3].cumsum(1))
    recent = torch.cat([seen_from(motions[..., :3], since), motions[..., 3:]], -1) / STRIDE
    turn = 2 * math.pi * height
    above = height - (height + FLOOR_MARGIN).floor()
    place = torch.stack([pitch / PITCH_UNIT, turn.sin(), turn.cos(), above], -1)
    return torch.cat([actions.flatten(1), recent.flatten(1), place, turned], -1)


def standing_height(heights: Iterable[float]) -> float:
    """The height of the eye where it last stood, of those of all frames so far, newest first, in the world's units.

    It stands after STANDING_MOTIONS motions that lead neither up nor down; before the first frame nothing moved.
    """
    levels: list[float] = []
    level = 0
    for height in heights:
        level = level + 1 if levels and abs(levels[-1] - height) < STANDING else 0
        levels.append(height)
        if level == STANDING_MOTIONS:
            break
    return levels[-1 - level]


def apply_deadband(made: Tensor, last: Tensor, same: Tensor, exact: bool) -> Tensor:
    """Motions (N, 5) without what is none, after ``last`` (N, 5) and under the same action as those (N,) or another.

    A network never says exactly nothing, and who stands for long would creep away. From rest the worlds' bodies begin
    with more than STARTING (0.03 blocks in a sneak) and, under an action that has not moved them, with more than
    IDLING (0.08 blocks in a fall); what goes on slowly without slowing down is no motion of theirs either. Where turns
    are ``exact``, the smallest is one.
    """
    step, before = made[:, :3].norm(dim=1), last[:, :3].norm(dim=1)
    least = torch.where(before < RESTING, torch.where(same, IDLING, STARTING), RESTING)
    creeps = same & (step < CREEPING) & (before < CREEPING) & (step > SLOWING * before)
    moves = (step >= least) & ~creeps
    turns = made[:, 3:] if exact else made[:, 3:] * (made[:, 3:].abs() >= TURNING)
    return torch.cat([made[:, :3] * moves[:, None], turns], 1)
