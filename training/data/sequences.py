"""Stretches of frames and their actions, drawn from walks: what a video model is trained on, without pose or pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.episodes import returning_frames
from training.data.walks import Walks, episodes

TRIES = 8
"""Walks that are looked at for one whose view comes back."""
AFTER = 16
"""Frames that a stretch may go on after such a view."""


@dataclass
class Sequence:
    """latents (B, T, C, h, w) and the raw actions (B, N, A) that led to each frame of a stretch; T is N, or fewer where
    frames are left out: then ``kept`` (B, T) tells which are there."""

    latents: Tensor
    actions: Tensor
    kept: Tensor | None = None

    def to(self, device: torch.device) -> Sequence:
        """All on the device."""
        kept = None if self.kept is None else self.kept.to(device)
        return Sequence(self.latents.to(device), self.actions.to(device), kept)


class Sequences:
    """Draws stretches from episodes of walks; a batch depends on seed, step and row alone.

    Args:
        returning: share of the rows that end soon after a view that was last seen more than 16 frames before, which is
            where a long past tells something. Poses choose such rows; what is drawn has none.
    """

    def __init__(
        self, shards: list[Walks], first: int = 0, last: int | None = None, returning: float = 0.0
    ) -> None:
        self.shards, self.episodes, self.returning = shards, list(episodes(shards))[first:last], returning
        self._returns: dict[tuple[int, int], NDArray[np.int64]] = {}
        if not self.episodes:
            raise ValueError("expected walks to train on, found none that are not held out")

    def __len__(self) -> int:
        return len(self.episodes)

    def draw(
        self, seed: int, step: int, batch: int, length: int, process: int = 0, kept: int = 0, last: int = 0
    ) -> Sequence:
        """``batch`` rows of ``length`` frames, this process's share.

        Args:
            kept: of each row so many frames are given: the ``last`` and some of those before. 0: all.
        """
        latents, actions, all_kept = [], [], []
        for row in range(process * batch, (process + 1) * batch):
            rng = np.random.default_rng((seed, step, row))
            shard, episode, start = self._stretch(rng, length)
            walks = self.shards[shard]
            part = slice(start, start + length)
            actions.append(np.asarray(walks.actions[episode, part], np.float32))
            row_latents = np.asarray(walks.latents[episode, part], np.float32)
            if kept:
                old = np.sort(rng.choice(length - last, kept - last, replace=False))
                all_kept.append(np.concatenate([old, np.arange(length - last, length)]))
                row_latents = row_latents[all_kept[-1]]
            latents.append(row_latents)
        chosen = torch.from_numpy(np.stack(all_kept)) if kept else None
        return Sequence(torch.from_numpy(np.stack(latents)), torch.from_numpy(np.stack(actions)), chosen)

    def _stretch(self, rng: np.random.Generator, length: int) -> tuple[int, int, int]:
        """Shard, episode and first frame of a row."""
        for _ in range(TRIES if self.returning and rng.random() < self.returning else 0):
            shard, episode = self.episodes[int(rng.integers(len(self.episodes)))]
            views = self._views(shard, episode)
            if len(views):
                end = int(rng.choice(views)) + 1 + int(rng.integers(AFTER))
                return shard, episode, min(max(0, end - length), self.shards[shard].steps - length)
        shard, episode = self.episodes[int(rng.integers(len(self.episodes)))]
        return shard, episode, int(rng.integers(0, self.shards[shard].steps - length + 1))

    def _views(self, shard: int, episode: int) -> NDArray[np.int64]:
        """Frames of an episode whose view comes back, found once."""
        key = shard, episode
        if key not in self._returns:
            self._returns[key] = returning_frames(np.asarray(self.shards[shard].poses[episode]))
        return self._returns[key]
