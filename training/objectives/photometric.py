"""How far away things are, learned from nothing but walks with known poses: the right distances make views agree.

Every pixel of a frame is looked up in other frames of the same walk where its guessed distance says that it is. What it
finds there has to look like the frame itself, in the best of them, since some are hidden in each (Zhou et al. 2017;
Godard et al. 2019, "Digging into self-supervised monocular depth estimation", section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from envs.episodes.episode import Episode
from training.data.episodes import DataError, LatentEpisode
from worldsim.frames import to_tensor
from worldsim.models.geometry import cell_rays, wrap
from worldsim.models.memory.rays.pixel_memory import PixelMemory
from worldsim.models.memory.rays.warp import project, sample

NEAREST = 0.03
"""How far, in units of the scene, another frame has to be away: without it every distance fits."""
FARTHEST, TURN = 1.2, 25.0
"""How far a frame may be, where ``TURN`` degrees count as much as a unit."""
SIMILAR = 0.85  # share of the structural similarity in what has to agree
SMOOTH = 0.01
NOISE = 0.1
"""Deviation of what is added to latents: those that are dreamt are not exact either."""
LEVELS = 2
HIDDEN = 9.0  # more than anything that was seen
C1, C2 = 0.01**2, 0.03**2


@dataclass
class Walks:
    """B frames, latents (B, C, h, w), pictures (B, 3, H, W) and poses (B, 5), and R others of the same walk each,
    pictures (B, R, 3, H, W) and poses (B, R, 5)."""

    latents: Tensor
    pictures: Tensor
    poses: Tensor
    others: Tensor
    other_poses: Tensor

    def to(self, device: torch.device) -> Walks:
        """Every tensor on the device."""
        return Walks(*(x.to(device) for x in vars(self).values()))


def near(poses: Tensor, at: int, scale: float) -> np.ndarray:
    """Indices of the frames of (N, 5) poses that show much of what frame ``at`` shows, from somewhere else."""
    moved = (poses[:, :3] - poses[at, :3]).norm(dim=1) / scale
    turned = wrap(poses[:, 3] - poses[at, 3]).abs() + (poses[:, 4] - poses[at, 4]).abs()
    return torch.nonzero((moved > NEAREST) & (moved + turned / TURN < FARTHEST))[:, 0].numpy()


def draw_walks(
    episodes: list[tuple[Episode, LatentEpisode]],
    count: int,
    others: int,
    scale: float,
    rng: np.random.Generator,
) -> Walks:
    """``count`` frames, each with ``others`` more; where a walk has too few around a frame, another one is drawn.

    Raises:
        DataError: they all have.
    """
    rows: list[tuple[Tensor, ...]] = []
    for _ in range(1000 * count):
        if len(rows) == count:
            break
        episode, known = episodes[int(rng.integers(len(episodes)))]
        assert known.poses is not None
        at = int(rng.integers(len(known.latents)))
        around = near(known.poses, at, scale)
        if len(around) < others:
            continue
        some = rng.choice(around, others, replace=False)
        pictures = to_tensor(episode.frames_at([at, *some]))
        rows.append(
            (known.latents[at].float(), pictures[0], known.poses[at], pictures[1:], known.poses[some])
        )
    if len(rows) < count:
        raise DataError(
            f"expected walks on which a place is seen from {others + 1} others; found none in {len(episodes)} episodes"
        )
    return Walks(*(torch.stack(column) for column in zip(*rows, strict=True)))


def photometric_loss(memory: PixelMemory, walks: Walks, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of the distances of B frames, and how far the views are from agreeing, 0 to about 1.

    ``noise`` is normal, of the latents' shape.
    """
    depth = memory.depth(walks.latents + NOISE * noise, walks.poses[:, 4])
    loss = error = depth.new_zeros(())
    pictures, others = walks.pictures / 2 + 0.5, walks.others / 2 + 0.5
    for level in range(LEVELS):
        size = pictures.shape[-1]
        fine = F.interpolate(depth[:, None], size=(size, size), mode="bilinear", align_corners=False)[:, 0]
        rays = memory.rays if not level else cell_rays(size, size, memory.fov).to(fine)
        where = fine.exp() * memory.scale
        places, _, inside = project(where, rays, walks.poses, walks.other_poses, memory.fov)
        apart = _apart(sample(others, places), pictures[:, None].expand_as(others)).masked_fill(
            ~inside, HIDDEN
        )
        known = inside.any(1)  # (B, h, w)
        agreed = (apart.amin(1) * known).sum() / known.sum().clamp_min(1)
        loss, error = loss + agreed, error if level else agreed.detach()
        pictures, others = (
            F.avg_pool2d(pictures, 2),
            F.avg_pool2d(others.flatten(0, 1), 2).unflatten(0, others.shape[:2]),
        )
    return loss + SMOOTH * _rough(depth, walks.pictures), error


def _apart(one: Tensor, other: Tensor) -> Tensor:
    """How far pictures (B, R, 3, h, w) from 0 to 1 are apart at every pixel, (B, R, h, w)."""
    x, y = one.flatten(0, 1), other.flatten(0, 1)
    mx, my = _mean(x), _mean(y)
    vx, vy, both = _mean(x * x) - mx * mx, _mean(y * y) - my * my, _mean(x * y) - mx * my
    similar = (2 * mx * my + C1) * (2 * both + C2) / ((mx * mx + my * my + C1) * (vx + vy + C2))
    apart = SIMILAR / 2 * (1 - similar.mean(1)) + (1 - SIMILAR) * (x - y).abs().mean(1)
    return apart.unflatten(0, one.shape[:2])


def _mean(x: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), 3, 1)


def _rough(depth: Tensor, pictures: Tensor) -> Tensor:
    """How much inverse distances (B, h, w) change where the picture (B, 3, H, W) does not."""
    near = (-depth).exp()
    near = near / near.mean((1, 2), keepdim=True)
    small = F.interpolate(pictures, size=depth.shape[1:], mode="area") / 2
    total = near.new_zeros(())
    for axis in (1, 2):
        edge = small.diff(dim=axis + 1).abs().mean(1)
        total = total + (near.diff(dim=axis).abs() * torch.exp(-8 * edge)).mean()
    return total
