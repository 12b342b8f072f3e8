"""Dead reckoning: how the pose changes under an action, judged from the last picture and the last motions (learned)."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from worldsim.memory.geometry import POSE, motion, move

LATELY = 3
"""Actions and motions that are looked back on: a jump is told from a fall by more than one of them."""
HIDDEN, CHANNELS, SEEN = 192, 48, 32


class Odometry(nn.Module):
    """The change of pose from one frame to the next, and the pitch of a view.

    The network corrects a linear map of actions and motions, which alone turns the camera exactly. It is told the
    pitch reckoned so far and how far the eye stands from a whole unit above where it began, so that it can take back
    what it has drifted: the picture shows the true pitch, and worlds made of blocks have whole heights.

    ``still`` is for worlds that tell no pose: there is nothing to learn from, and every pose stays zero.
    """

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
            nn.Conv2d(CHANNELS, SEEN, 1),
            nn.SiLU(),
            nn.Flatten(),
        )
        known = LATELY * (action_dim + POSE) + 3
        self.direct = nn.Linear(known, POSE)
        self.correct = nn.Sequential(
            nn.Linear(SEEN * cells + known, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, POSE),
        )
        self.pitch = nn.Linear(SEEN * cells, 1)
        last = self.correct[-1]
        assert isinstance(last, nn.Linear)
        for layer in (last, self.direct):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def look(self, latents: Tensor) -> Tensor:
        """What the picture tells: latents (N, C, h, w) to features (N, D)."""
        return cast(Tensor, self.see(latents))

    def pitch_of(self, seen: Tensor) -> Tensor:
        """The pitch (N,) in degrees that the pictures suggest; from :meth:`look`."""
        if self.still:
            return torch.zeros_like(seen[:, 0])
        return cast(Tensor, self.pitch(seen)[:, 0] * 60)

    def reckon(self, seen: Tensor, actions: Tensor, motions: Tensor, pitch: Tensor, height: Tensor) -> Tensor:
        """The motion (N, 5) that the newest action makes, as :func:`worldsim.memory.geometry.motion` defines it.

        Args:
            seen: (N, D), from :meth:`look` at the frame acted in.
            actions: (N, LATELY, A), normalised, the newest (whose motion is asked) first.
            motions: (N, LATELY, 5), the last ones, newest first; pitch: (N,) in degrees, reckoned so far.
            height: (N,), of the eye above where the reckoning began, in the world's units.
        """
        turn = 2 * math.pi * height
        place = torch.stack([pitch / 60, turn.sin(), turn.cos()], -1)
        known = torch.cat([actions.flatten(1), motions.flatten(1), place], -1)
        return cast(Tensor, self.direct(known) + self.correct(torch.cat([seen, known], -1)))

    def next_pose(
        self, pose: Tensor, seen: Tensor, actions: Tensor, motions: Tensor, ground: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Integrate one step: the next pose (N, 5) and the motion made (N, 5); ``ground`` (N,) is where height is 0."""
        if self.still:
            return pose, torch.zeros_like(pose)
        delta = self.reckon(seen, actions, motions, pose[:, 4], pose[:, 1] - ground)
        after = move(pose, delta, self.scale)
        # Where the pitch met its limit the motion made is smaller than the one predicted.
        return after, motion(pose, after, self.scale)
