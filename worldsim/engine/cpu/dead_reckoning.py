"""Dead reckoning of the next frame's pose, for one dream or two."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from worldsim.engine.cpu.convolution import convolution_of
from worldsim.engine.cpu.linear import Dense
from worldsim.engine.kernels.poses import motion, move
from worldsim.engine.past import DreamPast
from worldsim.models.geometry import TURN_UNIT, seen_from
from worldsim.models.odometry import N_RECENT, STRIDE, Odometry, apply_deadband, odometry_features


class PoseIntegrator:
    """:meth:`worldsim.models.odometry.Odometry.next_pose` for frames one at a time: poses are plain numbers."""

    def __init__(self, odometry: Odometry, grid: tuple[int, int]) -> None:
        see, correct = odometry.see, odometry.correct
        self.scale = odometry.scale
        self.see1, self.see2 = convolution_of(see[0], grid), convolution_of(see[2], grid)
        halve = see[4]
        assert isinstance(halve, torch.nn.Conv2d)
        self.halve = Dense(halve.weight.permute(2, 3, 1, 0).flatten(0, 2), halve.bias)
        self.features = Dense.of(see[6])
        first = correct[0]
        assert isinstance(first, torch.nn.Linear)
        channels, cells = self.features.weight.shape[1], (grid[0] // 2) * (grid[1] // 2)
        weight = first.weight.detach()
        looked = weight[:, : channels * cells].view(-1, channels, cells).permute(2, 1, 0).flatten(0, 1)
        known = weight[:, channels * cells :].t()
        self.hidden = Dense(torch.cat([looked, known]), first.bias)
        self.deeper, self.last = Dense.of(correct[2]), Dense.of(correct[4])
        self.turns = Dense(odometry.turns[:, :-1].t(), odometry.turns[:, -1])
        self.exact = bool(odometry.exact)
        self.direct = Dense.of(odometry.direct)
        self.direct.bias += self.last.bias  # what the network says is added onto it

    def __call__(
        self, looked: Tensor, pasts: Sequence[DreamPast], action: Tensor, given: Sequence[Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`worldsim.engine.backend.Backend.next_pose`, in double precision; ``looked`` from :meth:`look`."""
        turned = self.turns(action[None]).expand(len(pasts), -1)
        lines = [self._line(past) for past in pasts]
        motions = torch.tensor([line[0] for line in lines])  # (B, N_RECENT, 5)
        pitch, height = torch.tensor([line[1:] for line in lines]).unbind(1)
        actions = torch.stack([past.last_actions(action) for past in pasts])  # (B, N_RECENT, A)
        known = odometry_features(turned, actions, motions, pitch, height)
        h = F.silu(self.hidden(torch.cat([looked, known], 1)))
        h = F.silu(self.deeper(h))
        made = self.last(h, self.direct(known)) * STRIDE
        made[:, :3] = seen_from(made[:, :3], -TURN_UNIT * turned[:, 0])
        if self.exact:  # the action alone turns the camera
            made[:, 3:] = turned
        made = apply_deadband(made, motions[:, 0], (actions[:, 0] == actions[:, 1]).all(1), self.exact)
        before = [past.poses[-1].tolist() for past in pasts]
        after = [
            move(p, d, self.scale) if true is None else true.tolist()
            for p, d, true in zip(before, made.tolist(), given, strict=True)
        ]
        moved = [motion(p, q, self.scale) for p, q in zip(before, after, strict=True)]
        return torch.tensor(after, dtype=torch.float64), torch.tensor(moved, dtype=torch.float64)

    def look(self, cells: Tensor) -> Tensor:
        """:meth:`.Odometry.look` of cells (B, h, w, C): (B, D), in an order of its own."""
        x = self.see2(self.see1(cells), silu=True)
        x = F.silu(x, inplace=True)
        b, h, w, c = x.shape
        x = x.view(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4 * c)
        x = self.features(F.silu(self.halve(x), inplace=True))
        return F.silu(x, inplace=True).view(b, -1)

    def _line(self, past: DreamPast) -> tuple[list[list[float]], float, float]:
        """The last motions, newest first, the pitch in degrees and the height above where one last stood."""
        poses = [pose.tolist() for pose in past.line]
        motions = [motion(poses[i + 1], poses[i], self.scale) for i in range(N_RECENT)]
        return motions, poses[0][4], poses[0][1] - past.ground
