"""Reading remembered views along rays: each remembered cell becomes a point in space, each new cell looks for points.

A cell of a remembered frame guesses how far away it is, which puts it at a point in space. Seen from a new pose that
point lies in some direction; a cell of the new frame attends to points that lie along its own ray, prefers near ones
(they hide what is behind) and recent ones. Retrieval becomes view synthesis, which is learned quickly; depth is
learned from the pictures alone, through the attention.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.memory.geometry import cell_rays, rotation

HEAD = 32
CONTENT = 16
GEOMETRY = 5  # direction (3), log distance, and how much was found


class FrameEncoder(nn.Module):
    """Latents (N, C, h, w) to features of their cells (N, h * w, width)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1)
        )
        self.skip = nn.Conv2d(channels, width, 1)

    def forward(self, latents: Tensor) -> Tensor:
        y = self.net(latents) + self.skip(latents)
        return cast(Tensor, y.flatten(2).transpose(1, 2))


class RayReader(nn.Module):
    """Attention from the rays of a new frame to points of remembered cells."""

    rays: Tensor
    sharpness: Tensor

    def __init__(
        self, channels: int, width: int, heads: int, grid: tuple[int, int], fov: float, scale: float
    ) -> None:
        super().__init__()
        self.heads, self.scale, self.channels = heads, scale, channels
        cells = grid[0] * grid[1]
        self.grid = grid
        self.register_buffer("rays", cell_rays(*grid, fov), persistent=False)
        self.depth = nn.Linear(width, 1)
        nn.init.zeros_(self.depth.weight)
        nn.init.zeros_(self.depth.bias)
        # How narrowly each head looks along a ray: from half the picture to one cell.
        self.log_sharpness = nn.Parameter(torch.linspace(3.0, 6.0, heads))
        self.query = nn.Parameter(0.02 * torch.randn(heads, cells, CONTENT))
        self.key = nn.Linear(width, heads * CONTENT)
        self.bias = nn.Linear(width, heads)
        self.nearness = nn.Parameter(torch.full((heads,), 0.5))
        self.parallax = nn.Parameter(torch.full((heads,), 0.5))
        self.ageing = nn.Parameter(torch.full((heads,), 0.1))
        self.nothing = nn.Parameter(torch.full((heads,), -4.0))
        self.value = nn.Linear(width, heads * HEAD)
        inside = heads * (HEAD + GEOMETRY)
        self.mlp = nn.Sequential(nn.Linear(inside + 3, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.mix = nn.Sequential(nn.SiLU(), nn.Conv2d(width, width, 3, padding=1), nn.SiLU())
        self.out = nn.Conv2d(width, channels + width // 2, 3, padding=1)

    def points(self, features: Tensor, poses: Tensor) -> Tensor:
        """Where the cells of remembered frames lie in the world: (..., S, width), (..., 5) to (..., S, 3)."""
        depth = torch.exp(self.depth(features).float().clamp(-4, 4)) * self.scale  # (..., S, 1)
        rays = torch.einsum("...ij,sj->...si", rotation(poses), self.rays)
        return poses[..., None, :3] + depth * rays

    def forward(
        self, features: Tensor, points: Tensor, poses: Tensor, ages: Tensor, valid: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Draw a new view from R remembered ones.

        Args:
            features: (N, R, S, width); points: (N, R, S, 3); poses: (N, R, 5); ages: (N, R) in frames.
            valid: (N, R); target: (N, 5), the new frame's pose.

        Returns:
            a guess of the new frame's latents (N, C, h, w) and features for the denoiser (N, width / 2, h, w).
        """
        n, r, s, _ = features.shape
        heads = self.heads
        with torch.autocast(features.device.type, enabled=False):
            features, points = features.float(), points.float()
            seen = torch.einsum("nij,nrsi->nrsj", rotation(target), points - target[:, None, None, :3])
            distance = seen.norm(dim=-1, keepdim=True).clamp_min(1e-3)  # (N, R, S, 1)
            direction = (seen / distance).flatten(1, 2)  # (N, R S, 3)
            nearness = (distance / self.scale + 0.1).log().flatten(1, 2)  # (N, R S, 1)
            moved = (poses[..., :3] - target[:, None, :3]).norm(dim=-1) / self.scale
            bias = self.bias(features).flatten(1, 2)  # (N, R S, heads)
            bias = (
                bias - self.nearness * nearness - (self.parallax * moved[..., None]).repeat_interleave(s, 1)
            )
            bias = bias - (self.ageing * ages[..., None] / 16).repeat_interleave(s, 1)
            bias = bias.masked_fill(~valid.repeat_interleave(s, 1)[..., None], -1e4)
            key = self.key(features).view(n, r * s, heads, CONTENT)
            sharpness = self.log_sharpness.exp()
            # Everything that speaks for a pair is a dot product: ray . direction, content . content, 1 . bias.
            q = torch.cat(
                [
                    sharpness[:, None, None] * self.rays.expand(heads, -1, -1),
                    self.query,
                    torch.ones_like(self.query[..., :1]),
                ],
                -1,
            )
            bias = bias - sharpness  # ray . direction - 1 is 0 for a hit
            k = torch.cat([direction[:, :, None].expand(-1, -1, heads, -1), key, bias[..., None]], -1)
            found = torch.ones_like(nearness)
            geometry = torch.cat([direction, nearness, found], -1)[:, :, None].expand(-1, -1, heads, -1)
            v = torch.cat([self.value(features).view(n, r * s, heads, HEAD), geometry], -1)
            # One more key stands for "nothing remembered here"; its value is zero.
            nothing = torch.zeros(n, 1, heads, k.shape[-1], device=k.device)
            nothing[..., -1] = self.nothing
            k = torch.cat([k, nothing], 1).transpose(1, 2)  # (N, heads, R S + 1, .)
            v = F.pad(v, (0, 0, 0, 0, 0, 1)).transpose(1, 2)
            size = max(q.shape[-1], v.shape[-1])
            q = F.pad(q, (0, size - q.shape[-1])).expand(n, -1, -1, -1)
            k = F.pad(k, (0, size - k.shape[-1]))
            y = F.scaled_dot_product_attention(q, k, F.pad(v, (0, size - v.shape[-1])), scale=1.0)
            y = y[..., : HEAD + GEOMETRY]
            aside = y[..., HEAD : HEAD + 3] - self.rays * y[..., -1:]
            y = torch.cat([y[..., :HEAD], aside * 4, y[..., HEAD + 3 :]], -1)
            y = y.transpose(1, 2).flatten(2)  # (N, S, heads (HEAD + GEOMETRY))
        y = self.mlp(torch.cat([y, self.rays.expand(n, -1, -1).to(y.dtype)], -1))
        y = self.out(self.mix(y.transpose(1, 2).unflatten(2, self.grid)))
        guess, extra = y.split([self.channels, y.shape[1] - self.channels], 1)
        return guess, extra
