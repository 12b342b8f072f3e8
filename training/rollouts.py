"""Dreams left alone on recorded actions, as episodes to train on: what the model itself makes of its own past."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from envs.episode import Episode
from training.dataset import DataError, LatentEpisode
from training.drift import gap
from worldsim.checkpoint import LoadedModel
from worldsim.dream import DreamEnv
from worldsim.dream_past import REPLAYED

SHORTEST = 32
"""Frames that the shortest dream goes on for."""


@dataclass
class RolloutConfig:
    """``dreams`` new ones ``every`` so many training steps, ``kept`` in all; lengths are log-uniform up to ``longest``.

    Each begins from ``context`` true frames. Clips of them begin ``skip`` frames of its own later, where what the model
    was given has begun to leave the picture.
    """

    dreams: int = 8
    kept: int = 32
    every: int = 40
    longest: int = 200
    context: int = 48
    skip: int = 16
    denoising_steps: int = 2

    def __post_init__(self) -> None:
        if self.longest < SHORTEST:
            raise ValueError(f"longest: expected at least {SHORTEST} frames, found {self.longest}")


@dataclass
class Rollout:
    """A dream as an episode, and how far its own frames have drifted: :func:`training.drift.gap`."""

    frames: LatentEpisode
    off: Tensor


class Rollouts:
    """The newest dreams of a model that is being trained. A pool made anew after a restart is another one.

    ``true`` are the latents of ``episodes``.
    """

    def __init__(
        self, loaded: LoadedModel, episodes: list[Episode], true: list[LatentEpisode], config: RolloutConfig
    ) -> None:
        self.loaded, self.config = loaded, config
        most = max(loaded.model.config.memory.histories) + REPLAYED  # what a dream keeps of its past
        if config.context > most:
            raise ValueError(
                f"context: expected at most {most} frames for this model, found {config.context}"
            )
        both = zip(episodes, true, strict=True)
        self.episodes = [(e, z.latents) for e, z in both if len(e) >= config.context + SHORTEST]
        if not self.episodes:
            raise DataError(f"no episode has {config.context + SHORTEST} frames to dream along")
        self.pool: deque[Rollout] = deque(maxlen=config.kept)

    def refresh(self, seed: int, step: int, process: int) -> None:
        """Dream with the weights as they are, where it is time."""
        c = self.config
        if self.pool and step % c.every:
            return
        rng = np.random.default_rng((seed, step, process))
        for _ in range(c.dreams):
            self.pool.append(self._dream(rng))

    def _dream(self, rng: np.random.Generator) -> Rollout:
        c = self.config
        episode, true = self.episodes[int(rng.integers(len(self.episodes)))]
        length = round(math.exp(rng.uniform(math.log(SHORTEST), math.log(c.longest))))
        stop = c.context + min(length, len(episode) - c.context)
        start = int(rng.integers(len(episode) - stop + 1))
        actions = episode.action_vectors()[start : start + stop - 1]
        dream = DreamEnv(self.loaded, denoising_steps=c.denoising_steps)
        given = {"frames": episode.frames(start, start + c.context), "actions": actions[: c.context - 1]}
        dream.reset(seed=int(rng.integers(2**31)), options=given)
        latents, poses = list(dream.latents), list(dream.poses)
        for action in actions[c.context - 1 :]:
            dream.step(action)
            latents.append(dream.latents[-1])
            poses.append(dream.poses[-1])
        # Made in inference mode, of which only copies may be trained on.
        z, x = torch.stack(latents).cpu().clone(), torch.stack(poses).cpu().clone()
        first = min(c.context + c.skip, len(z) - 1)
        off = gap(z[first:].float(), true[start + first : start + len(z)].float())
        return Rollout(LatentEpisode(z, torch.from_numpy(actions), x), off)

    def pick(self, rng: np.random.Generator, length: int) -> tuple[Rollout, int]:
        """A dream, and where a clip of ``length`` of its own frames begins in it."""
        dream = self.pool[int(rng.integers(len(self.pool)))]
        last = len(dream.frames.latents) - length
        return dream, int(rng.integers(min(self.config.context + self.config.skip, last), last + 1))
