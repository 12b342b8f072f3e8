"""Dead reckoning of the next frame's pose, for one dream or two."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from worldsim.engine.cpu.linear import Dense
from worldsim.engine.cpu.winograd import Conv3x3
from worldsim.engine.kernels.poses import motion, move
from worldsim.engine.past import DreamPast
from worldsim.models.geometry import TURN_UNIT, seen_from
from worldsim.models.odometry import LATELY, STRIDE, Odometry, rested, told


class Reckoner:
    """:meth:`worldsim.models.odometry.Odometry.next_pose` for frames one at a time: poses are plain numbers."""

    def __init__(self, odometry: Odometry, grid: tuple[int, int]) -> None:
        see, correct = odometry.see, odometry.correct
        self.scale = odometry.scale
        self.see1, self.see2 = Conv3x3.of(see[0], grid), Conv3x3.of(see[2], grid)
        halve = see[4]
        assert isinstance(halve, torch.nn.Conv2d)
        self.halve = Dense(halve.weight.permute(2, 3, 1, 0).flatten(0, 2), halve.bias)
        self.seen = Dense.of(see[6])
        first = correct[0]
        assert isinstance(first, torch.nn.Linear)
        channels, cells = self.seen.weight.shape[1], (grid[0] // 2) * (grid[1] // 2)
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
        self, cells: Tensor, pasts: list[DreamPast], led: Tensor
    ) -> tuple[list[list[float]], list[list[float]]]:
        """The pose and the motion of the frame that ``led`` (A,) leads to from the newest cells (B, h, w, C)."""
        return self._next(self._look(cells), pasts, led)

    def along(self, cells: Tensor, past: DreamPast) -> None:
        """:meth:`worldsim.engine.past.DreamPast.reckon`; cells (n, h, w, C) of the frames from the last with a pose."""
        for looked in self._look(cells)[:-1]:
            poses, _ = self._next(looked[None], [past], past.led[len(past.poses)])
            past.poses.append(torch.tensor(poses[0]))

    def _next(
        self, looked: Tensor, pasts: list[DreamPast], led: Tensor
    ) -> tuple[list[list[float]], list[list[float]]]:
        turned = self.turns(led[None]).expand(len(pasts), -1)
        lines = [self._line(past) for past in pasts]
        motions = torch.tensor([line[0] for line in lines])  # (B, LATELY, 5)
        pitch, height = torch.tensor([line[1:] for line in lines]).unbind(1)
        actions = torch.stack([self._actions(past, led) for past in pasts])  # (B, LATELY, A)
        known = told(turned, actions, motions, pitch, height)
        h = F.silu(self.hidden(torch.cat([looked, known], 1)))
        h = F.silu(self.deeper(h))
        made = self.last(h, self.direct(known)) * STRIDE
        made[:, :3] = seen_from(made[:, :3], -TURN_UNIT * turned[:, 0])
        if self.exact:  # the action alone turns the camera
            made[:, 3:] = turned
        before = [past.poses[-1].tolist() for past in pasts]
        made = rested(made, motions[:, 0], (actions[:, 0] == actions[:, 1]).all(1), self.exact)
        after = [move(p, d, self.scale) for p, d in zip(before, made.tolist(), strict=True)]
        return after, [motion(p, q, self.scale) for p, q in zip(before, after, strict=True)]

    def _look(self, cells: Tensor) -> Tensor:
        """Features of pictures (B, D), cell by cell."""
        x = self.see2(self.see1(cells), silu=True)
        x = F.silu(x, inplace=True)
        b, h, w, c = x.shape
        x = x.view(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4 * c)
        x = self.seen(F.silu(self.halve(x), inplace=True))
        return F.silu(x, inplace=True).view(b, -1)

    def _actions(self, past: DreamPast, led: Tensor) -> Tensor:
        """The last actions (LATELY, A) as :meth:`worldsim.engine.past.DreamPast.lately` tells them."""
        i = len(past.poses)
        actions = [led, *past.led[max(0, i - LATELY + 1) : i][::-1]]
        return torch.stack(actions + past.led[:1] * (LATELY - len(actions)))

    def _line(self, past: DreamPast) -> tuple[list[list[float]], float, float]:
        """The last motions, newest first, the pitch in degrees and the height above where one last stood."""
        poses = [pose.tolist() for pose in past.poses[-LATELY - 1 :][::-1]]
        poses += poses[-1:] * (LATELY + 1 - len(poses))
        motions = [motion(poses[i + 1], poses[i], self.scale) for i in range(LATELY)]
        return motions, poses[0][4], poses[0][1] - past.ground
