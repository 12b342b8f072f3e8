"""What memory shows where a generator has drawn a clip itself: its own pictures, warped by distances read off them.

In play most of the evidence is of a dream's own frames, and an error in one is shown to all that follow. True pictures
made worse (:func:`.evidence_clips.degraded`) are pale or blurred, and never wrong: walls that are not straight, blocks
that no house is made of. These are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.evidence_clips import Clips, Source
from training.data.walks import Walks
from worldsim.engine.past import Mask
from worldsim.engine.provenance import choose, look_up
from worldsim.frames import to_uint8
from worldsim.models.autoencoders.conv import DOWNSAMPLING
from worldsim.models.denoisers.generator import EVIDENCE_CHANNELS

Array = NDArray[np.float32]


class RedrawnEvidence:
    """Draws evidence for clips of ``clips`` from what was drawn in the place of their frames."""

    def __init__(self, clips: Clips) -> None:
        self.clips, self.model = clips, clips.model

    @torch.no_grad()
    def __call__(self, sources: Sequence[Source], latents: Tensor) -> Tensor:
        """Evidence (R, L, E, H, W) of latents (R, L, C, h, w) that stand for the frames of these clips.

        Each frame is shown those before it in its clip, marked as made up, and the true ones before the clip where
        the clip's own evidence was of old frames.
        """
        flat, r = latents.flatten(0, 1), len(sources)
        poses = np.stack([self._walk(s).poses[s.episode, self._part(s)] for s in sources])  # (R, L, 5)
        pitch = torch.from_numpy(poses[..., 4]).to(flat).flatten()
        side = DOWNSAMPLING * latents.shape[-1]
        pictures = to_uint8(self.model.autoencoder.decode(flat).float()).reshape(r, -1, side, side, 3)
        if self.model.config.pixels:
            far = self.model.pixels.depth(flat, pitch).float().cpu().numpy()
            far = far.reshape(r, -1, *far.shape[1:])
        else:
            far = np.stack([self._walk(s).depth[s.episode, self._part(s)] for s in sources]).astype(
                np.float32
            )
        drawn = [self._clip(*row) for row in zip(sources, pictures, far, strict=True)]
        return torch.from_numpy(np.stack(drawn)).to(latents.device)

    def _walk(self, source: Source) -> Walks:
        return self.clips.shards[source.shard]

    def _part(self, source: Source) -> slice:
        return slice(source.start, source.start + self.clips.config.length)

    def _clip(self, source: Source, pictures: NDArray[np.uint8], far: Array) -> Array:
        """(L, E, H, W)."""
        walk, start, viewpoints = self._walk(source), source.start, self.clips.viewpoints(source)
        poses = walk.poses[source.episode].astype(np.float64)
        old = range(max(0, start - source.history), start) if source.kind in ("old", "both") else range(0)
        out = np.zeros((len(pictures), EVIDENCE_CHANNELS, *pictures.shape[1:3]), np.float32)
        frames = {j: walk.frames[source.episode, j] for j in old} | dict(enumerate(pictures, start))
        depth = {j: np.asarray(walk.depth[source.episode, j], np.float32) for j in old} | dict(
            enumerate(far, start)
        )
        first_seen: dict[int, Mask | None] = dict.fromkeys(old)
        for k, i in enumerate(range(start, start + len(pictures))):
            some = list(first_seen)
            best = [
                some[j]
                for j in choose([viewpoints[j] for j in some], list(first_seen.values()), viewpoints[i])
            ]
            first_seen[i] = np.ones(pictures.shape[1:3], np.bool_)
            if best:
                far_of = [depth[j] for j in best]
                found = look_up(
                    self.clips.draw_evidence, poses[i].tolist(), np.stack([frames[j] for j in best]),
                    np.stack(far_of), poses[best].tolist(), [first_seen[j] for j in best],
                    self.clips.forgotten(source, best, i, far_of),
                    self.clips.edit_marks(source, i, poses[i].tolist()),
                )  # fmt: skip
                out[k], first_seen[i] = found.evidence, found.first_seen
        return out
