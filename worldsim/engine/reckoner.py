"""Dead reckoning of the next frame's pose, for one dream or two."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from worldsim.dream_past import DreamPast
from worldsim.engine.camera import motion, move
from worldsim.engine.convolution import Conv3x3
from worldsim.engine.dense import Dense
from worldsim.memory.geometry import POSE
from worldsim.odometry import LATELY, Odometry, rested


class Reckoner:
    """:meth:`worldsim.odometry.Odometry.next_pose` for frames one at a time: poses are plain numbers."""

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
        self.exact = float(odometry.exact)
        self.newest = LATELY * (odometry.turns.shape[1] - 1)  # where the last motion lies in what is known
        self.direct = Dense.of(odometry.direct)
        self.direct.bias += self.last.bias  # what the network says is added onto it

    def __call__(
        self, cells: Tensor, pasts: list[DreamPast], led: Tensor
    ) -> tuple[list[list[float]], list[list[float]]]:
        """The pose and the motion of the frame that ``led`` (A,) leads to from the newest cells (B, h, w, C)."""
        return self._next(self._look(cells), pasts, led)

    def along(self, cells: Tensor, past: DreamPast) -> None:
        """:meth:`worldsim.dream_past.DreamPast.reckon`; cells (n, h, w, C) of the frames from the last with a pose."""
        for looked in self._look(cells)[:-1]:
            poses, _ = self._next(looked[None], [past], past.led[len(past.poses)])
            past.poses.append(torch.tensor(poses[0]))

    def _next(
        self, looked: Tensor, pasts: list[DreamPast], led: Tensor
    ) -> tuple[list[list[float]], list[list[float]]]:
        known = torch.stack([self._known(past, led) for past in pasts])
        h = F.silu(self.hidden(torch.cat([looked, known], 1)))
        h = F.silu(self.deeper(h))
        made = self.last(h, self.direct(known))
        if self.exact:  # the action alone turns the camera
            made[:, 3:] = torch.lerp(made[:, 3:], self.turns(led[None]), self.exact)
        before = [past.poses[-1].tolist() for past in pasts]
        a = self.newest // LATELY
        same = (known[:, :a] == known[:, a : 2 * a]).all(1)
        made = rested(made, known[:, self.newest : self.newest + POSE], same)
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

    def _known(self, past: DreamPast, led: Tensor) -> Tensor:
        """Actions, motions and place as :meth:`worldsim.odometry.Odometry.reckon` joins them."""
        i = len(past.poses)
        actions = [led, *past.led[max(0, i - LATELY + 1) : i][::-1]]
        actions += past.led[:1] * (LATELY - len(actions))
        poses = [pose.tolist() for pose in past.poses[-LATELY - 1 :][::-1]]
        poses += poses[-1:] * (LATELY + 1 - len(poses))
        numbers = [x for i in range(LATELY) for x in motion(poses[i + 1], poses[i], self.scale)]
        turn = 2 * math.pi * (poses[0][1] - past.ground)
        numbers += [poses[0][4] / 60, math.sin(turn), math.cos(turn)]
        return torch.cat([*actions, torch.tensor(numbers)])
