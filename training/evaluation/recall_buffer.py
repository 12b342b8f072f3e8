"""Dreamt frames beside the true ones, with the remembered views of each: what recalling pixels is learned from."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from envs.episodes.episode import Episode
from training.data.episodes import DataError
from training.evaluation.lockstep import Walk, replay
from worldsim.checkpoint import LoadedModel
from worldsim.dream.world import DreamEnv
from worldsim.frames import to_tensor
from worldsim.models.memory.rays.pixel_memory import Seen
from worldsim.models.memory.rays.selection import relevant_views

GIVEN = 16
"""True frames that a dream begins from."""
SHORTEST = 32
"""Frames that an episode has at least."""


@dataclass
class DreamsConfig:
    """``first`` dreams to begin with, then one ``every`` so many steps, ``kept`` in all, of at most ``longest`` frames.

    Their past becomes true again every ``blind`` frames, a number drawn by ``blind_odds`` for each dream: so a frame's
    views are at times true frames, at times dreamt ones. They are the ones that a random ``budget`` of the last
    ``history`` frames would leave.
    """

    first: int = 8
    every: int = 25
    kept: int = 40
    longest: int = 300
    blind: list[int] = field(default_factory=lambda: [16, 48, 128])
    blind_odds: list[float] = field(default_factory=lambda: [0.7, 0.2, 0.1])
    budget: int = 16
    history: int = 112

    def __post_init__(self) -> None:
        if len(self.blind) != len(self.blind_odds):
            raise ValueError("expected one entry of blind_odds for each of blind")


@dataclass
class Recollection:
    """A dreamt frame: latents (C, h, w), pose (5,), the true picture uint8 (H, W, 3), and R remembered both: pictures,
    latents (C, h, w), poses (R, 5), ages (R,), which are dreamt too (R,) and which are there at all (R,)."""

    latents: Tensor
    pose: Tensor
    true: np.ndarray
    pictures: list[np.ndarray]
    views: list[Tensor]
    poses: Tensor
    ages: Tensor
    n_generated: Tensor
    valid: Tensor


@dataclass
class Batch:
    """B recollections: latents (B, C, h, w), poses (B, 5), true pictures (B, 3, H, W) in [-1, 1], and their views.

    The distances of these are yet to be guessed from their latents (B, R, C, h, w).
    """

    latents: Tensor
    poses: Tensor
    true: Tensor
    seen_latents: Tensor
    views: Seen

    def to(self, device: torch.device) -> Batch:
        """Every tensor on the device."""
        both = Seen(*(x.to(device) for x in vars(self.views).values()))
        latents, views = self.latents.to(device), self.seen_latents.to(device)
        return Batch(latents, self.poses.to(device), self.true.to(device), views, both)


def stacked(rows: list[Recollection]) -> Batch:
    """Several as one batch."""
    both = Seen(
        torch.stack([to_tensor(np.stack(row.pictures)) for row in rows]),
        torch.empty(0),
        torch.stack([row.poses for row in rows]),
        torch.stack([row.ages for row in rows]),
        torch.stack([row.n_generated for row in rows]),
        torch.stack([row.valid for row in rows]),
    )
    return Batch(
        torch.stack([row.latents for row in rows]),
        torch.stack([row.pose for row in rows]),
        to_tensor(np.stack([row.true for row in rows])),
        torch.stack([torch.stack(row.views) for row in rows]),
        both,
    )


class RecallBuffer:
    """The newest dreams of a model that is being trained, frame by frame. A pool made anew after a restart is another.

    Raises:
        DataError: no episode is long enough.
    """

    def __init__(self, loaded: LoadedModel, episodes: list[Episode], config: DreamsConfig) -> None:
        self.loaded, self.config = loaded, config
        self.episodes = [e for e in episodes if len(e) >= SHORTEST]
        if not self.episodes:
            raise DataError(f"no episode has {SHORTEST} frames to dream along")
        self.pool: deque[list[Recollection]] = deque(maxlen=config.kept)

    def refresh(self, seed: int, step: int, process: int) -> None:
        """Dream with the weights as they are, where it is time."""
        if self.pool and step % self.config.every:
            return
        rng = np.random.default_rng((seed, step, process))
        for _ in range(1 if self.pool else self.config.first):
            self.pool.append(self._dream(rng))

    def pick(self, count: int, rng: np.random.Generator) -> Batch:
        """``count`` frames of any of the dreams."""
        rows = []
        for _ in range(count):
            dream = self.pool[int(rng.integers(len(self.pool)))]
            rows.append(dream[int(rng.integers(len(dream)))])
        return stacked(rows)

    def _dream(self, rng: np.random.Generator) -> list[Recollection]:
        c = self.config
        episode = self.episodes[int(rng.integers(len(self.episodes)))]
        length = min(len(episode), GIVEN + c.longest)
        first = int(rng.integers(len(episode) - length + 1))
        walk = Walk.of(episode, first, first + length, posed=False)
        odds = np.array(c.blind_odds)
        blind = int(rng.choice(c.blind, p=odds / odds.sum()))
        dream, seed = DreamEnv(self.loaded), int(rng.integers(2**31))
        steps = replay({"dream": dream}, walk, blind, seed=seed, context=GIVEN, revisits=False)
        return [self._recollection(dream, dream.n_generated - 1, step.true, rng) for step in steps]

    def _recollection(
        self, dream: DreamEnv, n_generated: int, true: np.ndarray, rng: np.random.Generator
    ) -> Recollection:
        """Of a dream's newest frame, before which the newest ``n_generated`` were dreamt."""
        n, model = len(dream.poses) - 1, self.loaded.model
        recent = min(n, model.config.denoiser.window + int(rng.integers(8)))
        older = np.arange(max(0, n - self.config.history), n - recent)
        kept = np.sort(rng.choice(older, min(self.config.budget, len(older)), replace=False))
        some = [int(i) for i in (*kept, *range(n - recent, n))]
        poses = torch.stack([dream.poses[i] for i in some])
        count = model.config.memory.reads
        known = torch.arange(max(count, len(some))) < len(some)
        padded = F.pad(poses, (0, 0, 0, len(known) - len(some)))
        best, valid = relevant_views(
            padded[None].cpu(), known[None], dream.poses[n][None].cpu(), count, model.scale
        )
        chosen = [some[i] if i < len(some) else some[-1] for i in best[0].tolist()]
        # Made in inference mode, of which only copies may be trained on.
        return Recollection(
            dream.latents[n].cpu().clone(),
            dream.poses[n].cpu().clone(),
            true,
            [dream.pictures[i] for i in chosen],
            [dream.latents[i].cpu().clone() for i in chosen],
            torch.stack([dream.poses[i] for i in chosen]).cpu().clone(),
            torch.tensor([float(n - i) for i in chosen]),
            torch.tensor([i >= n - n_generated for i in chosen]),
            valid[0],
        )
