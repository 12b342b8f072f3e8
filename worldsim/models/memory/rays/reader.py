"""Reading remembered views along rays: quarters of remembered cells become points in space, a new cell looks for them.

Every quarter of a remembered cell guesses how far away it is, which puts it at a point in space. Seen from a new pose
that point lies in some direction; a quarter of a cell of the new frame attends to points that lie along its own ray,
prefers near ones (they hide what is behind) and recent ones. Retrieval becomes view synthesis, learned quickly;
depth is learned from the pictures alone, through the attention. Quarters, because what has moved by half a cell is
another latent (training/LOG.md, 9).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.models.geometry import cell_rays, rotation

HEAD = 32
GEOMETRY = 5  # direction (3), log distance, and how much was found
FINE = 2  # points and rays along the side of a cell
ASIDE = 8.0  # how much more it counts how far aside of its ray a point lies than where it lies


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


class _ResBlock(nn.Module):
    """(N, C, h, w) to the same shape; begins as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + cast(Tensor, self.conv2(F.silu(self.conv1(F.silu(x)))))


class RayReader(nn.Module):
    """Attention from the rays of a new frame to points of remembered cells."""

    rays: Tensor

    def __init__(
        self, channels: int, width: int, heads: int, grid: tuple[int, int], fov: float, scale: float
    ) -> None:
        super().__init__()
        self.heads, self.scale, self.channels = heads, scale, channels
        self.grid = grid
        self.register_buffer("rays", cell_rays(FINE * grid[0], FINE * grid[1], fov), persistent=False)
        parts = FINE * FINE
        self.depth = nn.Linear(width, parts)
        nn.init.zeros_(self.depth.weight)
        nn.init.zeros_(self.depth.bias)
        # How narrowly each head looks along a ray: from a third of the picture to a quarter of a cell.
        self.log_sharpness = nn.Parameter(torch.linspace(4.0, 7.5, heads))
        self.bias = nn.Linear(width, parts * heads)
        self.nearness = nn.Parameter(torch.full((heads,), 0.5))
        self.parallax = nn.Parameter(torch.full((heads,), 0.5))
        self.ageing = nn.Parameter(torch.full((heads,), 0.1))
        self.nothing = nn.Parameter(torch.full((heads,), -4.0))
        self.value = nn.Linear(width, parts * heads * HEAD)
        self.found = nn.Linear(heads * (HEAD + GEOMETRY) + 3, width)
        self.join = nn.Conv2d(parts * width, 2 * width, 1)
        self.mix = _ResBlock(2 * width)
        self.out = nn.Conv2d(2 * width, channels + width // 2, 3, padding=1)

    def quarters(self, x: Tensor) -> Tensor:
        """What cells say of their parts (..., S, parts * k), in the order of the rays (..., S * parts, k)."""
        lead, k = x.shape[:-2], x.shape[-1] // (FINE * FINE)
        parts = x.reshape(*lead, *self.grid, FINE, FINE, k)
        return parts.transpose(-4, -3).reshape(*lead, len(self.rays), k)

    def points(self, features: Tensor, poses: Tensor) -> Tensor:
        """Where the parts of remembered frames' cells lie: (..., S, width), (..., 5) to (..., S * parts, 3)."""
        depth = torch.exp(self.quarters(self.depth(features).float()).clamp(-4, 4)) * self.scale
        rays = torch.einsum("...ij,sj->...si", rotation(poses), self.rays)
        return poses[..., None, :3] + depth * rays

    def forward(
        self, features: Tensor, points: Tensor, poses: Tensor, ages: Tensor, valid: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Draw a new view from R remembered ones.

        Args:
            features: (N, R, S, width); points: (N, R, S * parts, 3); poses: (N, R, 5); ages: (N, R) in frames.
            valid: (N, R); target: (N, 5), the new frame's pose.

        Returns:
            a guess of the new frame's latents (N, C, h, w) and features for the denoiser (N, width / 2, h, w).
        """
        n, r = features.shape[:2]
        heads, rays = self.heads, len(self.rays)
        with torch.autocast(features.device.type, enabled=False):
            features, points = features.float(), points.float()
            local = torch.einsum("nij,nrsi->nrsj", rotation(target), points - target[:, None, None, :3])
            distance = local.norm(dim=-1, keepdim=True).clamp_min(1e-3)  # (N, R, P, 1)
            direction = (local / distance).flatten(1, 2)  # (N, R P, 3)
            nearness = (distance / self.scale + 0.1).log().flatten(1, 2)  # (N, R P, 1)
            moved = (poses[..., :3] - target[:, None, :3]).norm(dim=-1) / self.scale
            far = self.parallax * moved[..., None] + self.ageing * ages[..., None] / 16  # (N, R, heads)
            bias = self.quarters(self.bias(features)).flatten(1, 2) - self.nearness * nearness
            bias = bias - far.repeat_interleave(rays, 1)
            bias = bias.masked_fill(~valid.repeat_interleave(rays, 1)[..., None], -1e4)
            sharpness = self.log_sharpness.exp()
            # Everything that speaks for a pair is a dot product: ray . direction, 1 . bias.
            q = F.pad(sharpness[:, None, None] * self.rays, (0, 1), value=1.0)  # (heads, P, 4)
            bias = bias - sharpness  # ray . direction - 1 is 0 for a hit
            k = torch.cat([direction[:, :, None].expand(-1, -1, heads, -1), bias[..., None]], -1)
            geometry = torch.cat([direction, nearness, torch.ones_like(nearness)], -1)
            value = self.quarters(self.value(features)).view(n, r * rays, heads, HEAD)
            v = torch.cat([value, geometry[:, :, None].expand(-1, -1, heads, -1)], -1)
            # One more key stands for "nothing remembered here"; its value is zero.
            nothing = F.pad(self.nothing[None, None, :, None], (3, 0)).expand(n, -1, -1, -1)
            k = torch.cat([k, nothing], 1).transpose(1, 2)  # (N, heads, R P + 1, 4)
            v = F.pad(v, (0, 0, 0, 0, 0, 1)).transpose(1, 2)
            size = v.shape[-1]
            q = F.pad(q, (0, size - q.shape[-1])).expand(n, -1, -1, -1)
            y = F.scaled_dot_product_attention(q, F.pad(k, (0, size - k.shape[-1])), v, scale=1.0)
            aside = y[..., HEAD : HEAD + 3] - self.rays * y[..., -1:]
            y = torch.cat([y[..., :HEAD], aside * ASIDE, y[..., HEAD + 3 :]], -1)
            y = y.transpose(1, 2).flatten(2)  # (N, P, heads (HEAD + GEOMETRY))
        y = F.silu(self.found(torch.cat([y, self.rays.expand(n, -1, -1).to(y.dtype)], -1)))
        h, w = self.grid
        y = F.pixel_unshuffle(y.transpose(1, 2).unflatten(2, (FINE * h, FINE * w)), FINE)
        y = self.out(F.silu(self.mix(self.join(y))))
        guess, extra = y.split([self.channels, y.shape[1] - self.channels], 1)
        return guess, extra
