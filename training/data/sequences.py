"""Stretches of frames and their actions, drawn from walks: what a video model is trained on, without pose or pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.data.walks import Walks, episodes


@dataclass
class Sequence:
    """latents (B, T, C, h, w) and the raw actions (B, T, A) that led to each frame."""

    latents: Tensor
    actions: Tensor

    def to(self, device: torch.device) -> Sequence:
        """Both on the device."""
        return Sequence(self.latents.to(device), self.actions.to(device))


class Sequences:
    """Draws stretches from episodes of walks; a batch depends on seed, step and row alone."""

    def __init__(self, shards: list[Walks], first: int = 0, last: int | None = None) -> None:
        self.shards, self.episodes = shards, list(episodes(shards))[first:last]
        if not self.episodes:
            raise ValueError("expected walks to train on, found none that are not held out")

    def __len__(self) -> int:
        return len(self.episodes)

    def draw(self, seed: int, step: int, batch: int, length: int, process: int = 0) -> Sequence:
        """``batch`` rows of ``length`` frames, this process's share."""
        latents, actions = [], []
        for row in range(process * batch, (process + 1) * batch):
            rng = np.random.default_rng((seed, step, row))
            shard, episode = self.episodes[int(rng.integers(len(self.episodes)))]
            walks = self.shards[shard]
            start = int(rng.integers(0, walks.steps - length + 1))
            part = slice(start, start + length)
            latents.append(np.asarray(walks.latents[episode, part], np.float32))
            actions.append(np.asarray(walks.actions[episode, part], np.float32))
        return Sequence(torch.from_numpy(np.stack(latents)), torch.from_numpy(np.stack(actions)))
