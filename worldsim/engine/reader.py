"""Reading remembered views: keys, values and points of a view are computed once, when it is remembered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.engine.camera import Pose, rotation, stand
from worldsim.engine.convolution import Conv3x3
from worldsim.engine.dense import Dense
from worldsim.memory.reader import CONTENT, GEOMETRY, HEAD, RayReader


@dataclass(frozen=True)
class View:
    """A remembered frame as the reader reads it.

    rows (S, heads (CONTENT + HEAD + 1)): each cell's keys, values and biases; points (S, 3); stand (6,) of its pose.
    """

    rows: Tensor
    points: Tensor
    pose: Pose
    stand: np.ndarray
    index: int


class Reader:
    """:class:`worldsim.memory.reader.RayReader` over views that were made ready by :meth:`show`."""

    def __init__(self, reader: RayReader) -> None:
        self.heads, self.scale, self.grid, self.channels = (
            reader.heads,
            reader.scale,
            reader.grid,
            reader.channels,
        )
        heads, inside = self.heads, HEAD + GEOMETRY
        parts = (reader.key, reader.value, reader.bias, reader.depth)
        weight, bias = (torch.cat([getattr(p, kind).detach() for p in parts]) for kind in ("weight", "bias"))
        self.shown = Dense(weight.t(), bias)
        self.rays, self.query = reader.rays.clone(), reader.query.detach().clone()
        self.sharpness = reader.log_sharpness.detach().exp()
        self.nearness, self.parallax, self.ageing, self.nothing = (
            p.detach().clone()[:, None]
            for p in (reader.nearness, reader.parallax, reader.ageing, reader.nothing)
        )
        first, second = reader.mlp[0], reader.mlp[2]
        assert isinstance(first, nn.Linear)
        weight = first.weight.detach()
        each = weight[:, : heads * inside].view(-1, heads, inside)
        self.mlp_values = Dense(each[..., :HEAD].flatten(1).t(), None)
        geometry = each[..., HEAD:].clone()
        geometry[..., :3] *= 4  # how far aside of its ray a point lies counts four times
        self.mlp_geometry = Dense(geometry.flatten(1).t(), None)
        self.mlp_rays = self.rays @ weight[:, heads * inside :].t() + first.bias.detach()  # (S, 2 width)
        self.mlp_out = Dense.of(second)
        self._rooms: dict[int, _Room] = {}
        self.mix, self.out = Conv3x3.of(reader.mix[1], self.grid), Conv3x3.of(reader.out, self.grid)

    def show(self, features: Tensor, poses: Sequence[Pose], indices: Sequence[int]) -> list[View]:
        """Make frames ready to be read: features (n, S, width), their poses and indices."""
        n, s, width = features.shape
        rows, depth = (
            self.shown(features.reshape(n * s, width)).view(n, s, -1).split([self.shown_size, 1], -1)
        )
        turned = torch.tensor([rotation(pose) for pose in poses]).transpose(1, 2)  # (n, 3, 3)
        depth = depth.clamp(-4, 4).exp() * self.scale
        at = torch.tensor([list(pose[:3]) for pose in poses])[:, None]
        points = at + depth * (self.rays @ turned)
        return [
            View(r, p, pose, stand(pose, self.scale), index)
            for r, p, pose, index in zip(rows.contiguous(), points, poses, indices, strict=True)
        ]

    @property
    def shown_size(self) -> int:
        """Entries of a cell's row."""
        return self.heads * (CONTENT + HEAD + 1)

    def __call__(self, views: Sequence[Sequence[View]], poses: Sequence[Pose], index: int) -> Tensor:
        """Draw a new frame of each dream from the views chosen for it.

        Returns:
            cells (B, h, w, C + E): a guess of the latents, and features for the denoiser; to be used up before the
            next call.
        """
        values, geometry = zip(
            *(self._found(some, pose, index) for some, pose in zip(views, poses, strict=True)), strict=True
        )
        b = len(views)
        h = self.mlp_values(torch.cat(values), self.mlp_rays.repeat(b, 1))
        h = F.gelu(self.mlp_geometry(torch.cat(geometry), h))
        h = F.silu(self.mlp_out(h), inplace=True)
        return self.out(self.mix(h.view(b, *self.grid, -1)), silu=True)

    def _found(self, views: Sequence[View], pose: Pose, index: int) -> tuple[Tensor, Tensor]:
        """What the rays of one new frame find: (S, heads HEAD) and (S, heads GEOMETRY)."""
        heads, s, count = self.heads, len(self.rays), len(views)
        room = self._rooms.get(count) or self._rooms.setdefault(count, _Room(self, count))
        rows = torch.cat([view.rows for view in views], out=room.rows[:-1])  # (R S, .)
        turned = torch.tensor(rotation(pose))
        here = torch.tensor(list(pose[:3]))
        seen = (torch.cat([view.points for view in views]) - here) @ turned
        distance = seen.norm(dim=1, keepdim=True).clamp_min_(1e-3)
        near = (distance / self.scale).add_(0.1).log_()
        direction = seen.div_(distance)
        moved = [math.dist(view.pose[:3], pose[:3]) / self.scale for view in views]
        ages = [(index - view.index) / 16 for view in views]
        far = self.parallax * torch.tensor(moved) + self.ageing * torch.tensor(ages)  # (heads, R)
        kept = heads * (CONTENT + HEAD)
        bias = torch.addcmul(rows[:, kept:].t(), self.nearness, near.t(), value=-1)  # (heads, R S)
        bias = bias.view(heads, count, s) - (far + self.sharpness[:, None])[..., None]
        # One more key stands for "nothing remembered here"; its value is zero.
        bias = torch.cat([bias.view(heads, -1), self.nothing], 1)
        geometry = F.pad(torch.cat([direction, near, torch.ones_like(near)], 1), (0, 0, 0, 1))
        direction = geometry[:, :3]
        torch.baddbmm(bias.view(heads, 1, -1), self.query, room.keys, out=room.logits)
        room.logits.addcmul_((self.rays @ direction.t())[None], self.sharpness[:, None, None])
        torch.softmax(room.logits, -1, out=room.found)
        value, place = torch.bmm(room.found, room.values), room.found.flatten(0, 1) @ geometry
        place = place.view(heads, s, -1)
        place[..., :3] -= self.rays * place[..., 4:]
        return value.transpose(0, 1).reshape(s, -1), place.transpose(0, 1).reshape(s, -1)


class _Room:
    """What reading R views writes, allocated once, and views of it."""

    def __init__(self, reader: Reader, count: int) -> None:
        heads, s = reader.heads, len(reader.rays)
        contents, kept = heads * CONTENT, heads * (CONTENT + HEAD)
        self.rows = torch.zeros(count * s + 1, reader.shown_size)  # the last one stays zero
        self.keys = (
            self.rows[:, :contents].view(-1, heads, CONTENT).permute(1, 2, 0)
        )  # (heads, CONTENT, R S + 1)
        self.values = (
            self.rows[:, contents:kept].view(-1, heads, HEAD).transpose(0, 1)
        )  # (heads, R S + 1, HEAD)
        self.logits = torch.empty(heads, s, count * s + 1)
        self.found = torch.empty_like(self.logits)
