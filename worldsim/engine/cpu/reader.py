"""Reading remembered views: keys, values and points of a view are computed once, when it is remembered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from worldsim.engine.cpu.convolution import convolution_of
from worldsim.engine.cpu.linear import Dense
from worldsim.engine.kernels.layers import look
from worldsim.engine.kernels.poses import Pose, rotation, viewpoint
from worldsim.engine.viewpoints import Viewpoint
from worldsim.models.memory.rays.reader import ASIDE, FINE, GEOMETRY, HEAD, FrameEncoder, RayReader

REACH = 60.0
"""Exponents above that of "nothing remembered here" for which single precision has room."""


@dataclass(frozen=True)
class PreparedView(Viewpoint):
    """A remembered frame as the reader reads it.

    Its features (S, width); values (heads, P, HEAD + GEOMETRY), with room for the geometry, and biases (heads, P) of
    each part of a cell; points (P, 3).
    """

    features: Tensor
    values: Tensor
    bias: Tensor
    points: Tensor


class Features:
    """:class:`worldsim.models.memory.rays.reader.FrameEncoder`."""

    def __init__(self, encoder: FrameEncoder, grid: tuple[int, int]) -> None:
        self.first, self.second = (convolution_of(encoder.net[i], grid) for i in (0, 2))
        self.skip = Dense.of(encoder.skip)
        self.second.bias += self.skip.bias  # the skip is added onto it

    def __call__(self, cells: Tensor) -> Tensor:
        """Cells (B, h, w, C) to (B, S, width)."""
        y = self.second(self.first(cells), silu=True)
        return self.skip(cells.reshape(-1, cells.shape[-1]), y.flatten(0, 2)).view(
            len(cells), -1, y.shape[-1]
        )


class Reader:
    """:class:`worldsim.models.memory.rays.reader.RayReader` over views from :meth:`prepare_views`."""

    def __init__(self, reader: RayReader) -> None:
        self.heads, self.scale, self.grid, self.channels = (
            reader.heads,
            reader.scale,
            reader.grid,
            reader.channels,
        )
        heads, inside, parts = self.heads, HEAD + GEOMETRY, FINE * FINE
        # Of each part first its values, then its biases, then its depth: a part's row lies together.
        layers = [(reader.value, heads * HEAD), (reader.bias, heads), (reader.depth, 1)]
        weight, bias = (
            torch.cat(
                [getattr(m, kind).detach().unflatten(0, (parts, size)) for m, size in layers], 1
            ).flatten(0, 1)
            for kind in ("weight", "bias")
        )
        self.shown = Dense(weight.t(), bias)
        self.rays = reader.rays.clone()
        self.sharpness = reader.log_sharpness.detach().exp()[:, None]
        self.nearness, self.parallax, self.ageing, self.nothing = (
            p.detach().clone()[:, None]
            for p in (reader.nearness, reader.parallax, reader.ageing, reader.nothing)
        )
        weight = reader.found.weight.detach()
        each = weight[:, : heads * inside].view(-1, heads, inside)
        self.found_values = Dense(each[..., :HEAD].flatten(1).t(), None)
        geometry = each[..., HEAD:].clone()
        geometry[..., :3] *= ASIDE
        self.found_geometry = Dense(geometry.flatten(1).t(), None)
        # (P, width)
        self.found_rays = self.rays @ weight[:, heads * inside :].t() + reader.found.bias.detach()
        self._workspaces: dict[int, _Workspace] = {}
        width = reader.found.out_features
        join = reader.join.weight.detach()[:, :, 0, 0].unflatten(1, (width, parts))  # pixel_unshuffle's order
        assert reader.join.bias is not None
        self.join = Dense(join.transpose(1, 2).flatten(1).t(), reader.join.bias.detach())
        mix = reader.mix
        self.mix = convolution_of(mix.conv1, self.grid), convolution_of(mix.conv2, self.grid)
        self.out = convolution_of(reader.out, self.grid)

    def prepare_views(
        self, features: Tensor, poses: Sequence[Pose], indices: Sequence[int]
    ) -> list[PreparedView]:
        """Make frames ready to be read: features (n, S, width), their poses and indices."""
        n, s, width = features.shape
        h, w = self.grid
        shown = self.shown(features.reshape(n * s, width)).view(n, h, w, FINE, FINE, -1).transpose(2, 3)
        shown = shown.reshape(n, len(self.rays), -1)
        heads = self.heads
        values = torch.empty(n, heads, len(self.rays), HEAD + GEOMETRY)
        values[..., :HEAD] = shown[..., : heads * HEAD].unflatten(2, (heads, HEAD)).transpose(1, 2)
        bias = shown[..., heads * HEAD : -1].transpose(1, 2).contiguous()
        turned = torch.tensor([rotation(pose) for pose in poses]).transpose(1, 2)  # (n, 3, 3)
        depth = shown[..., -1:].clamp(-4, 4).exp() * self.scale
        at = torch.tensor([list(pose[:3]) for pose in poses])[:, None]
        points = at + depth * (self.rays @ turned)
        return [
            PreparedView(pose, viewpoint(pose, self.scale), index, f, v, b, p)
            for f, v, b, p, pose, index in zip(features, values, bias, points, poses, indices, strict=True)
        ]

    def __call__(self, views: Sequence[Sequence[PreparedView]], poses: Sequence[Pose], index: int) -> Tensor:
        """Draw a new frame of each dream from the views chosen for it.

        Returns:
            cells (B, h, w, C + E): a guess of the latents, and features for the denoiser; to be used up before the
            next call.
        """
        values, geometry = zip(
            *(self._found(some, pose, index) for some, pose in zip(views, poses, strict=True)), strict=True
        )
        b, (h, w) = len(views), self.grid
        y = self.found_values(torch.cat(values), self.found_rays.repeat(b, 1))
        y = F.silu(self.found_geometry(torch.cat(geometry), y), inplace=True)
        y = y.view(b, h, FINE, w, FINE, -1).transpose(2, 3).reshape(b * h * w, -1)
        y = self.join(y).view(b, h, w, -1)
        first, second = self.mix
        y = y + second(first(y, silu=True), silu=True)
        return self.out(y, silu=True)

    def _found(self, views: Sequence[PreparedView], pose: Pose, index: int) -> tuple[Tensor, Tensor]:
        """What the rays of one new frame find: (P, heads HEAD) and (P, heads GEOMETRY)."""
        heads, p, count = self.heads, len(self.rays), len(views)
        room = self._workspaces.get(count) or self._workspaces.setdefault(count, _Workspace(self, count))
        torch.cat([view.values for view in views], 1, out=room.values)  # (heads, R P, .)
        turned = torch.tensor(rotation(pose))
        here = torch.tensor(list(pose[:3]))
        local = (torch.cat([view.points for view in views]) - here) @ turned
        distance = local.norm(dim=1, keepdim=True).clamp_min_(1e-3)
        near = (distance / self.scale).add_(0.1).log_()
        geometry = torch.cat([local.div_(distance), near, torch.ones_like(near)], 1)  # (R P, GEOMETRY)
        room.values[..., HEAD:] = geometry
        room.directions.copy_(geometry[:, :3].t())
        moved = [math.dist(view.pose[:3], pose[:3]) / self.scale for view in views]
        ages = [(index - view.index) / 16 for view in views]
        far = self.parallax * torch.tensor(moved) + self.ageing * torch.tensor(ages)  # (heads, R)
        bias = torch.cat([view.bias for view in views], 1).addcmul_(self.nearness, near.t(), value=-1)
        bias = bias.view(heads, count, p).sub_(far[..., None]).view(heads, -1)  # (heads, R P)
        # No weight exceeds e^REACH, and what is far below the weight of "nothing remembered here" is 0.
        shift = torch.maximum(self.nothing, bias.amax(1, keepdim=True) - REACH)
        rest = (self.nothing - shift).exp_()
        for head in range(heads):
            sharp = float(self.sharpness[head])
            look(*room.arrays, bias[head].numpy(), sharp, sharp + float(shift[head]), room.weights_array)
            torch.mm(room.weights, room.values[head], out=room.found[head])
        found = room.found.div_(room.found[..., -1:] + rest[..., None])
        place = found[..., HEAD:]
        place[..., :3] -= self.rays * place[..., 4:]
        return found[..., :HEAD].transpose(0, 1).reshape(p, -1), place.transpose(0, 1).reshape(p, -1)


class _Workspace:
    """What reading R views needs, allocated once."""

    def __init__(self, reader: Reader, count: int) -> None:
        heads, p = reader.heads, len(reader.rays)
        self.values = torch.empty(heads, count * p, HEAD + GEOMETRY)
        self.directions = torch.empty(3, count * p)
        self.weights = torch.empty(p, count * p)  # of one head, which stay in the nearest cache
        self.found = torch.empty(heads, p, HEAD + GEOMETRY)
        self.arrays = reader.rays.numpy(), self.directions.numpy()
        self.weights_array = self.weights.numpy()
