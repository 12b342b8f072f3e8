"""Dead reckoning: how the pose changes under an action, judged from the last latents (learned from recorded poses)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from worldsim.memory.geometry import POSE, motion, move

HIDDEN = 128


class Odometry(nn.Module):
    """The change of pose from one frame to the next, and the pitch of a view.

    The network corrects a linear map of action and last motion, which alone turns the camera exactly.
    """

    def __init__(self, channels: int, grid: tuple[int, int], action_dim: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        cells = (grid[0] // 2) * (grid[1] // 2)
        self.see = nn.Sequential(
            nn.Conv2d(channels, 32, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(32, 32, 2, stride=2),
            nn.SiLU(),
            nn.Flatten(),
        )
        inside = 32 * cells + action_dim + POSE + 1
        self.direct = nn.Linear(action_dim + POSE + 1, POSE)
        self.correct = nn.Sequential(
            nn.Linear(inside, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, POSE),
        )
        self.pitch = nn.Linear(32 * cells, 1)
        last = self.correct[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)

    def forward(self, latents: Tensor, actions: Tensor, last: Tensor, pitch: Tensor) -> tuple[Tensor, Tensor]:
        """Predict the motion that an action makes.

        Args:
            latents: (N, C, h, w) of the frame acted in; actions: (N, A), normalised.
            last: (N, 5), the motion that led to it; pitch: (N,) in degrees.

        Returns:
            motion (N, 5), as :func:`worldsim.memory.geometry.motion` defines it, and the pitch (N,) in degrees
            that the picture itself suggests.
        """
        seen = self.look(latents)
        return self.reckon(seen, actions, last, pitch), self.pitch_of(seen)

    def look(self, latents: Tensor) -> Tensor:
        """What the picture tells: latents (N, C, h, w) to features (N, D)."""
        return cast(Tensor, self.see(latents))

    def pitch_of(self, seen: Tensor) -> Tensor:
        """The pitch (N,) in degrees that the pictures suggest; from :meth:`look`."""
        return cast(Tensor, self.pitch(seen)[:, 0] * 60)

    def reckon(self, seen: Tensor, actions: Tensor, last: Tensor, pitch: Tensor) -> Tensor:
        """The motion (N, 5) that actions make; ``seen`` (N, D) is from :meth:`look`."""
        known = torch.cat([actions, last, pitch[:, None] / 60], -1)
        return cast(Tensor, self.direct(known) + self.correct(torch.cat([seen, known], -1)))

    def next_pose(self, pose: Tensor, seen: Tensor, actions: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """Integrate one step: the next pose (N, 5) and the motion (N, 5); ``seen`` is from :meth:`look`."""
        delta = self.reckon(seen, actions, last, pitch=pose[:, 4])
        after = move(pose, delta, self.scale)
        # Where the pitch met its limit the motion made is smaller than the one predicted.
        return after, motion(pose, after, self.scale)
