"""Mixing pixels: what remembered pictures show of a new view, put into the picture that the decoder draws.

Latents lose what they have no room for, and no reading of them can bring it back. The pictures themselves are still
there. Once the latents of a new frame tell how far away everything in it is, each of its pixels can be looked up in
the pictures of the views that were read for it, and the frame is a mixture of what was drawn and what was found, pixel
by pixel: found where views fit the drawing, drawn where nothing was seen or something else stands in the way. A mixture
has no colours of its own, so it cannot blur what was drawn sharp into an average of what might be there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.models.geometry import cell_rays, rotation, wrap
from worldsim.models.memory.rays.warp import project, sample

FINER = 4
"""Distances along the side of a cell of latents."""
HALF = 2
"""Pixels of the model along the side of a place where it is judged how well a view fits; pictures may have more."""
PLANES = 4  # what the place of a cell tells of its distance
FEATURES = 14  # what speaks for a view at a place
FARTHEST = 4.0
"""Distances lie within e^-FARTHEST and e^FARTHEST of the scene's unit."""
UNSEEN = 30.0  # less than anything that was seen
TURN, AGE = 30.0, 64.0  # degrees and frames that count as much as a unit


class DepthNet(nn.Module):
    """How far away what a frame shows is, from its latents and its pitch: logarithms, in units of the scene's scale."""

    rays: Tensor

    def __init__(self, channels: int, grid: tuple[int, int], fov: float, width: int = 96) -> None:
        super().__init__()
        self.grid = grid
        self.register_buffer("rays", cell_rays(*grid, fov), persistent=False)
        half, quarter = width // 2, width // 6
        self.begin = nn.Conv2d(channels + PLANES, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2)) for _ in range(2)
        )
        self.finer = nn.Conv2d(width, 4 * half, 3, padding=1)
        self.mix = nn.Conv2d(half, half, 3, padding=1)
        self.finest = nn.Conv2d(half, 4 * quarter, 3, padding=1)
        self.end = nn.Conv2d(quarter, 1, 3, padding=1)
        nn.init.zeros_(self.end.weight)
        nn.init.zeros_(self.end.bias)  # type: ignore[arg-type]

    def planes(self, pitch: Tensor) -> Tensor:
        """What is known of cells before anything is seen (N, PLANES, h, w): how steeply one looks up or down there, how
        far flat ground would be, and where in the picture they lie."""
        level = F.pad(pitch[:, None], (4, 0))  # a pose that stands at the origin and looks to the north
        rise = torch.einsum("nj,sj->ns", rotation(level)[:, 1], self.rays)
        ground = 0.1 / (0.1 - rise.clamp_max(0))
        right, up = self.rays[:, 0].expand_as(rise), self.rays[:, 1].expand_as(rise)
        return torch.stack([rise, ground, right, up], 1).unflatten(2, self.grid)

    def forward(self, latents: Tensor, pitch: Tensor) -> Tensor:
        """Latents (N, C, h, w) and pitch (N,) in degrees to log distances (N, FINER h, FINER w)."""
        x = self.begin(torch.cat([latents, self.planes(pitch)], 1))
        for block in self.blocks:
            first, second = cast(nn.ModuleList, block)
            x = x + second(F.silu(first(F.silu(x))))
        x = F.pixel_shuffle(self.finer(F.silu(x)), 2)
        x = x + self.mix(F.silu(x))
        x = F.pixel_shuffle(self.finest(F.silu(x)), 2)
        return cast(Tensor, self.end(F.silu(x)))[:, 0].float().clamp(-FARTHEST, FARTHEST)


@dataclass
class Seen:
    """R remembered views of N new frames: pictures (N, R, 3, H, W) in [-1, 1], log distances (N, R, h, w), poses
    (N, R, 5), ages (N, R) in frames, which are the dream's own (N, R), and which are there at all (N, R)."""

    pictures: Tensor
    depth: Tensor
    poses: Tensor
    ages: Tensor
    generated: Tensor
    valid: Tensor


class PixelMemory(nn.Module):
    """Distances, and how well each remembered view fits what was drawn. ``size`` is the picture's side in pixels."""

    rays: Tensor

    def __init__(
        self, channels: int, grid: tuple[int, int], size: int, fov: float, scale: float, width: int = 16
    ) -> None:
        super().__init__()
        self.size, self.fov, self.scale = size, fov, scale
        self.register_buffer("rays", cell_rays(size, size, fov), persistent=False)
        self.depth = DepthNet(channels, grid, fov)
        self.features = nn.Conv2d(FEATURES, width, 3, padding=1)
        self.fusion = nn.Conv2d(width, width, 3, padding=1)
        self.logits = nn.Conv2d(width, 1, 3, padding=1)

    def at_pixels(self, depth: Tensor, side: int) -> Tensor:
        """Log distances (N, h, w) to distances of every pixel in the world's units (N, side, side)."""
        fine = F.interpolate(depth[:, None], size=(side, side), mode="bilinear", align_corners=False)
        return fine[:, 0].exp() * self.scale

    def rays_of(self, side: int) -> Tensor:
        """Where the pixels of a picture look, (side^2, 3)."""
        return self.rays if side == self.size else cell_rays(side, side, self.fov).to(self.rays)

    def forward(self, drawn: Tensor, depth: Tensor, poses: Tensor, views: Seen) -> Tensor:
        """Mix what was drawn with what was seen.

        Args:
            drawn: (N, 3, H, W) in [-1, 1], ``size`` pixels each way or a multiple of that, as in ``views``.
            depth: (N, h, w), its log distances; poses: (N, 5), its own.

        Returns:
            pictures (N, 3, H, W) in [-1, 1].
        """
        (n, r), side = views.poses.shape[:2], drawn.shape[-1]
        rays = self.rays_of(side)
        places, far, inside = project(self.at_pixels(depth, side), rays, poses, views.poses, self.fov)
        inside = inside & views.valid[..., None, None]
        # A dream's frames are looked up in frames that were looked up before: bilinearly they would fade.
        found = sample(views.pictures, places, "bicubic").clamp(-1, 1)  # (N, R, 3, H, W)
        thought = sample(views.depth[:, :, None], places)[:, :, 0] + math.log(self.scale)
        hidden = (thought - far.log()).clamp(-1, 1)  # below 0: something stands before it there
        fits = self._fit_features(drawn, found, hidden, inside.float(), poses, views)
        x = F.silu(self.fusion(F.silu(self.features(fits))))
        logits = F.interpolate(self.logits(x), (side, side), mode="bilinear", align_corners=False)
        logits = logits.float().view(n, r, *drawn.shape[2:]).masked_fill(~inside, -UNSEEN)
        weights = F.pad(logits, (0, 0, 0, 0, 0, 1)).softmax(1)  # of the drawing last, whose logit is 0
        return (weights[:, :r, None] * found).sum(1) + weights[:, r:] * drawn

    def _fit_features(
        self, drawn: Tensor, found: Tensor, hidden: Tensor, inside: Tensor, poses: Tensor, views: Seen
    ) -> Tensor:
        """What speaks for and against each view, (N R, FEATURES, H / HALF, W / HALF)."""
        n, r = hidden.shape[:2]
        mine = drawn[:, None].expand(-1, r, -1, -1, -1)
        each = drawn.shape[-1] // self.size
        # What makes pictures larger than the model's is more than it can draw: that is no reason to doubt a view.
        apart = F.avg_pool2d((found - mine).flatten(0, 1), each).abs().mean(1, keepdim=True)
        seen_there = [found * inside[:, :, None], mine]
        maps = [*((x * inside)[:, :, None] for x in (hidden, hidden.abs())), inside[:, :, None]]
        first, last = (
            F.avg_pool2d(torch.cat(part, 2).flatten(0, 1), HALF * each) for part in (seen_there, maps)
        )
        local = torch.cat([first, F.avg_pool2d(apart, HALF), last], 1)
        moved = (views.poses[..., :3] - poses[:, None, :3]).norm(dim=-1) / self.scale
        turned = wrap(views.poses[..., 3] - poses[:, None, 3]).abs()
        turned = (turned + (views.poses[..., 4] - poses[:, None, 4]).abs()) / TURN
        of_view = torch.stack([moved, turned, views.generated.float(), views.ages / AGE], -1).view(
            n * r, -1, 1, 1
        )
        return torch.cat([local, of_view.expand(-1, -1, *local.shape[2:])], 1)
