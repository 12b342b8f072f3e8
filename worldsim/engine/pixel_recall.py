"""What a dream's past holds for :mod:`.rays.pixel_memory`: pictures, and how far away what they show is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from worldsim.engine.past import DreamPast, Mask
from worldsim.frames import larger, to_tensor
from worldsim.models.memory.rays.pixel_memory import FARTHEST, Seen
from worldsim.models.world_model import WorldModel

COPIED = -FARTHEST
"""Log distance of what a frame of a dream's own only copied, and of what has been dug since."""

Measure = Callable[[Tensor, Tensor], Tensor]
"""Latents (n, C, h, w) and pitches (n,) to log distances (n, ., .)."""


def depths_of(past: DreamPast, places: Sequence[int], measure: Measure) -> list[Tensor]:
    """Log distances of the frames at these places of the past, each measured once."""
    missing = [i for i in dict.fromkeys(places) if past.depths[i] is None]
    if missing:
        pitch = torch.stack([past.poses[i][4] for i in missing])
        found = measure(torch.stack([past.latents[i] for i in missing]), pitch)
        for i, distance in zip(missing, found, strict=True):
            past.depths[i] = distance
    return [d for d in (past.depths[i] for i in places) if d is not None]


def depths_for_recall(past: DreamPast, places: Sequence[int], measure: Measure) -> list[Tensor]:
    """:func:`depths_of`, with what a frame copied from others, and what is no longer there, right before its camera,
    where nobody looks it up."""
    out = []
    for i, distance in zip(places, depths_of(past, places, measure), strict=True):
        mask = past.first_seen[i]
        if mask is not None:
            cells = torch.from_numpy(_averaged(mask, distance.shape[-1])).to(distance.device)
            distance = torch.where(cells >= 0.5, distance, torch.full_like(distance, COPIED))
        if (gone := past.forgotten[i]) is not None:
            distance = distance.masked_fill(torch.from_numpy(gone).to(distance.device), COPIED)
        out.append(distance)
    return out


def _averaged(mask: Mask, side: int) -> NDArray[np.float32]:
    """The share of each of (side, side) cells that a mask (H, W) covers."""
    each = len(mask) // side
    return mask.reshape(side, each, side, each).mean((1, 3), dtype=np.float32)


def gather_sources(
    pasts: Sequence[DreamPast], sources: Sequence[Sequence[int]], measure: Measure, room: int = 0
) -> Seen:
    """The frames of these indices of each past, as :class:`.pixel_memory.PixelMemory` takes them.

    Rows with fewer frames than the longest, or than ``room``, are filled up; ``measure`` as in :func:`depths_of`.
    """
    room = max(1, room, *(len(row) for row in sources))
    device = pasts[0].latents[-1].device
    rows = []
    for past, row in zip(pasts, sources, strict=True):
        places = [past.place(i) for i in row]
        empty = room - len(row)
        known = places + [len(past) - 1] * empty
        rows.append(
            Seen(
                to_tensor(np.stack([past.pictures[i] for i in known]), device),
                torch.stack(depths_for_recall(past, known, measure)),
                torch.stack([past.poses[i] for i in known]),
                torch.tensor([float(past.count - past.indices[i]) for i in known], device=device),
                torch.tensor([past.indices[i] >= past.true_until for i in known], device=device),
                F.pad(torch.ones(len(row), dtype=torch.bool, device=device), (0, empty)),
            )
        )
    return Seen(*(torch.stack(column) for column in zip(*(vars(row).values() for row in rows), strict=True)))


def recall_pixels(
    model: WorldModel,
    pasts: Sequence[DreamPast],
    sources: Sequence[Sequence[int]],
    latents: Tensor,
    poses: Tensor,
    drawn: Tensor,
) -> tuple[Tensor, Tensor]:
    """The next frame of each dream with what it remembers of it.

    Args:
        sources: indices of the frames that were read for it; latents: (B, C, h, w), its own; poses: (B, 5).
        drawn: (B, 3, H, W) in [-1, 1], what the decoder made of the latents, enlarged where pictures are larger.

    Returns:
        pictures (B, 3, ., .) of the size of those in the past, and log distances (B, ., .).
    """
    depth = model.pixels.depth(latents, poses[:, 4])
    if (side := pasts[0].side) != drawn.shape[-1]:
        drawn = larger(drawn.clamp(-1, 1), side)
    return model.pixels(drawn, depth, poses, gather_sources(pasts, sources, model.pixels.depth)), depth
