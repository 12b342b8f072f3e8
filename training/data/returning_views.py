"""Views that come back and the older frames they can be drawn from, at true poses: what reading is learned from.

Within a clip most frames are best read from the frames just before them, which says little of how to read an old one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training.data.episodes import LatentEpisode
from worldsim.models.memory.rays.reader import FrameEncoder, RayReader
from worldsim.models.memory.rays.selection import relevant_views
from worldsim.models.world_model import WorldModel

OLDER_THAN = 16
"""Frames between a view and the youngest one that it is drawn from."""


@dataclass
class ReadsConfig:
    """``history`` frames before a view may be read, of which ``candidates`` are drawn at random, as a budget would."""

    batch: int = 16
    history: int = 112
    candidates: int = 48
    returning_odds: float = 0.75


@dataclass
class ReturningViews:
    """B new views, each with R older frames: latents (B, R, C, h, w), poses (B, R, 5), ages and validity (B, R);
    the pose (B, 5) and latents (B, C, h, w) of the new one."""

    latents: Tensor
    poses: Tensor
    ages: Tensor
    valid: Tensor
    target: Tensor
    true: Tensor

    def to(self, device: torch.device) -> ReturningViews:
        """Every tensor on the device."""
        return ReturningViews(*(x.to(device) for x in self.__dict__.values()))


def readable(episodes: list[LatentEpisode]) -> bool:
    """Whether they tell poses, and views of one that is long enough come back; shorter ones are passed over."""
    return any(
        e.poses is not None and len(e.latents) > OLDER_THAN + 5 and len(e.returns) > 0 for e in episodes
    )


def choose(
    episodes: list[LatentEpisode], config: ReadsConfig, rng: np.random.Generator
) -> tuple[LatentEpisode, int]:
    """An episode and the index of a view to be drawn in it, one that comes back with ``returning_odds``."""
    while True:
        episode = episodes[int(rng.integers(len(episodes)))]
        back = len(episode.returns) and rng.random() < config.returning_odds
        at = int(rng.choice(episode.returns) if back else rng.integers(len(episode.latents)))
        if at > OLDER_THAN + 4:
            return episode, at


def gather(
    model: WorldModel,
    chosen: list[tuple[LatentEpisode, int]],
    config: ReadsConfig,
    rngs: list[np.random.Generator],
) -> ReturningViews:
    """What views of episodes are drawn from: each the most relevant of ``candidates`` older frames."""
    count, room = model.config.memory.reads, config.candidates
    rows = []
    for (episode, at), rng in zip(chosen, rngs, strict=True):
        assert episode.poses is not None
        first, stop = max(0, at - config.history), at - OLDER_THAN
        some = np.sort(rng.choice(stop - first, min(stop - first, room), replace=False)) + first
        poses = F.pad(episode.poses[some], (0, 0, 0, room - len(some)))
        known = torch.arange(room) < len(some)
        best, valid = relevant_views(poses[None], known[None], episode.poses[at][None], count, model.scale)
        frames = torch.from_numpy(np.resize(some, room))[best[0]]  # what is not valid is not read
        rows.append(
            ReturningViews(
                episode.latents[frames].float(),
                poses[best[0]],
                (at - frames).float(),
                valid[0],
                episode.poses[at],
                episode.latents[at].float(),
            )
        )
    names = ReturningViews.__dataclass_fields__
    return ReturningViews(*(torch.stack([getattr(row, name) for row in rows]) for name in names))


def draw_reads(
    model: WorldModel, episodes: list[LatentEpisode], config: ReadsConfig, seed: int, step: int, process: int
) -> ReturningViews:
    """This process's share of the views of a step, the same however they are divided over processes."""
    rows = range(process * config.batch, (process + 1) * config.batch)
    rngs = [np.random.default_rng((seed, step, row)) for row in rows]
    return gather(model, [choose(episodes, config, rng) for rng in rngs], config, rngs)


def reading_loss(encoder: FrameEncoder, reader: RayReader, reads: ReturningViews) -> Tensor:
    """Mean squared error of what is drawn (unit-variance latents)."""
    features = encoder(reads.latents.flatten(0, 1)).unflatten(0, reads.ages.shape)
    points = reader.points(features, reads.poses)
    guess, _ = reader(features, points, reads.poses, reads.ages, reads.valid, reads.target)
    return F.mse_loss(guess.float(), reads.true)
