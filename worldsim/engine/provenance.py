"""What memory shows of a view, each pixel from the frame that saw it first.

A frame of a dream is mostly a copy of others. Copies looked up in copies blur, and what is wrong in one is wrong in all
that follow it. So of a dream's own frames those pixels count that it made up, and those that it drew much larger than
they had been seen before, which adds detail. True frames count whole. Copies fill in where nothing else is.

Where ``dream.enlarged`` says so, a dream's own pixels are shown no larger than that. What it drew from afar is a smear
when one has walked up to it, and a generator that is shown a smear in full confidence copies it. With ``dream.smears``
it is shown all the same, under a mark of its own, and what is drawn over it is remembered in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from worldsim.engine.evidence import GENERATED, SMEAR, TRUE, Drawn, Evidence, Marks, stack
from worldsim.engine.kernels.poses import Pose, relevant, viewpoint
from worldsim.engine.past import DreamPast, Mask
from worldsim.engine.pixel_recall import Measure, depths_of
from worldsim.models.denoisers.generator import EVIDENCE_CHANNELS

TRUE_VIEWS, OWN_VIEWS = 4, 8
"""Frames that a view is drawn from at most."""
REFINED = 2.0
"""How many times as large as it was first seen something has to be drawn for the drawing to be remembered, too."""
TRUE_ENLARGED, OWN_ENLARGED = (1.3, REFINED), (1.02, 1.12)
"""Up to the first a remembered pixel is put in as it is, from the second on it is drawn: enlarged, pixels blur."""
SOFT = 5
"""Pixels over which these shares are averaged."""


def choose(
    viewpoints: Sequence[NDArray[np.float64]],
    first_seen: Sequence[Mask | None],
    target: NDArray[np.float64],
    edited: Collection[int] = (),
) -> list[int]:
    """Which of N viewpoints (6,) a target (6,) is drawn from: true ones first, the best first.

    Args:
        first_seen: N masks, None of a true frame; of own ones those are better that saw much first.
        edited: places of own ones in which something was changed: nothing else shows it, however little it is.
    """
    best = []
    for true, most in ((True, TRUE_VIEWS), (False, OWN_VIEWS)):
        some = [i for i, mask in enumerate(first_seen) if (mask is None) == true]
        if some:
            shares = [
                1.0 if (mask := first_seen[i]) is None or i in edited else np.count_nonzero(mask) / mask.size
                for i in some
            ]
            penalty = 1 - np.array(shares, np.float64)
            chosen = relevant([viewpoints[i] for i in some], target, min(most, len(some)), penalty)
            best += [some[j] for j in chosen]
    return best


@dataclass(frozen=True)
class Recollection:
    """What a past shows of a new view: evidence (E, H, W), the pixels (H, W) that the view would be the first to see,
    how much of a pixel may be put in from memory, kept (H, W) in [0, 1], and the indices of the frames that most of it
    comes from, first the one that shows most."""

    evidence: NDArray[np.float32]
    first_seen: Mask
    kept: NDArray[np.float32]
    sources: list[int]


def look_up(
    draw: Evidence,
    pose: Pose,
    pictures: NDArray[np.uint8],
    log_depth: NDArray[np.float32],
    poses: Sequence[Pose],
    first_seen: Sequence[Mask | None],
    forgotten: Sequence[Mask | None] = (),
    edited: Marks | None = None,
) -> Recollection:
    """What R frames, as :class:`.Evidence` takes them, show of a view; ``sources`` are places among them.

    Args:
        first_seen: R masks, None of a true frame; forgotten: R masks (h, w) of what none of them shows any more.
        edited: marks (H, W) of what is just being changed, of which memory shows nothing.
    """
    whole = np.ones((draw.size, draw.size), np.bool_)
    holds = np.stack([still_there(draw.size, mask) for mask in forgotten or [None] * len(pictures)])
    first = np.stack([whole if mask is None else mask for mask in first_seen])
    counted = first & holds
    marks = [TRUE if mask is None else GENERATED for mask in first_seen]
    found = draw(pose, pictures, log_depth, poses, marks, counted)
    changing = np.zeros_like(holds[0]) if edited is None else edited != 0
    smear = smeared(found, draw)
    found.mark[changing | smear] = 0
    picture, mark = found.picture, found.mark
    new = (mark == 0) | (found.larger >= REFINED)
    shares = np.bincount(found.source[mark > 0], minlength=len(pictures))
    dreamt = [i for i, mask in enumerate(first_seen) if mask is not None]
    if dreamt and not mark.all():
        copied = ~first[dreamt] & holds[dreamt]
        copies = draw(
            pose,
            pictures[dreamt],
            log_depth[dreamt],
            [poses[i] for i in dreamt],
            [GENERATED] * len(dreamt),
            copied,
        )
        filled = (mark == 0) & (copies.mark > 0) & ~changing & ~smeared(copies, draw)
        picture, mark = (
            np.where(filled[..., None], copies.picture, picture),
            np.where(filled, copies.mark, mark),
        )
        new &= ~filled | smear
    if draw.smears:
        mark = np.where((mark == 0) & smear & ~changing, SMEAR, mark).astype(np.float32)
    sources = [int(i) for i in np.argsort(-shares, kind="stable") if shares[i]]
    evidence = stack(picture, mark if edited is None else np.where(changing, edited, mark))
    return Recollection(evidence, new, _kept(found, new), sources)


def still_there(size: int, forgotten: Mask | None) -> Mask:
    """The pixels (size, size) of a frame that hold, of the cells (h, w) that do not."""
    if forgotten is None:
        return np.ones((size, size), np.bool_)
    each = size // len(forgotten)
    return ~forgotten.repeat(each, 0).repeat(each, 1)


def smeared(drawn: Drawn, draw: Evidence) -> Mask:
    """The pixels (H, W) of a dream's own that appear larger than ``draw.enlarged`` times what it drew."""
    return (drawn.mark == GENERATED) & (drawn.larger >= draw.enlarged)


def _kept(found: Drawn, new: Mask) -> NDArray[np.float32]:
    """How much of each pixel may be put in from memory (H, W)."""
    shares = [(high - found.larger) / (high - low) for low, high in (TRUE_ENLARGED, OWN_ENLARGED)]
    share = np.where(found.mark == TRUE, *shares).clip(0, 1).astype(np.float32) * ~new
    return np.asarray(uniform_filter(share, SOFT, mode="nearest"))


def remembered(
    draw: Evidence,
    past: DreamPast,
    known: Sequence[int],
    pose: Pose,
    measure: Measure,
    edited: Marks | None = None,
    history: int = 0,
) -> Recollection:
    """What a dream's past shows at a pose (5,), of the frames of these indices, and of the last ones of the newest
    ``history`` in which something was changed; ``edited`` as for :func:`look_up`."""
    changed = past.changed
    if changed and history:
        newest = sorted(changed.intersection(past.indices[-history:]))[-OWN_VIEWS:]
        known = [*known, *(index for index in newest if index not in known)]
    places = [past.place(i) for i in known]
    if not places:
        none = np.zeros((EVIDENCE_CHANNELS, draw.size, draw.size), np.float32)
        return Recollection(none, none[0] == 0, none[0], [])
    poses = torch.stack([past.poses[i] for i in places]).tolist()  # one transfer where they lie on a GPU
    masks = [past.first_seen[i] for i in places]
    special = {k for k, index in enumerate(known) if index in changed}
    best = choose([viewpoint(p, draw.scale) for p in poses], masks, viewpoint(pose, draw.scale), special)
    some = [places[i] for i in best]
    far = torch.stack(depths_of(past, some, measure)).float().cpu().numpy()
    pictures = np.stack(past.small_pictures(some, draw.size))
    gone = [past.forgotten[i] for i in some]
    found = look_up(
        draw, pose, pictures, far, [poses[i] for i in best], [masks[i] for i in best], gone, edited
    )
    return replace(found, sources=[known[best[i]] for i in found.sources])
