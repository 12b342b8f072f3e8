"""Training clips for the denoiser: a stretch of frames and the past before it, drawn from recorded episodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.data.episodes import LatentEpisode
from worldsim.models.odometry import N_RECENT, STANDING, STANDING_MOTIONS


@dataclass
class Clip:
    """A batch: frames (B, L, C, h, w), leading actions (B, L, A), poses (B, L, 5), and M frames of past with
    their validity (B, M). ``earlier_poses`` (B, N_RECENT + 1, 5) and the actions that led to them are those just
    before the clip, oldest first, and ``before_latents`` (B, C, h, w) is the last of those frames. ``ground`` (B, L)
    is where the eye last stood before each frame of the clip. ``dreamt`` is how many times in a row the model dreams
    the context, each time over the last one; 0 leaves it true."""

    latents: Tensor
    actions: Tensor
    poses: Tensor
    earlier_poses: Tensor
    earlier_actions: Tensor
    ground: Tensor
    before_latents: Tensor
    past_latents: Tensor
    past_actions: Tensor
    past_poses: Tensor
    past_valid: Tensor
    budget: int
    dreamt: int

    @property
    def before(self) -> Tensor:
        """The pose before the clip, (B, 5)."""
        return self.earlier_poses[:, -1]

    def to(self, device: torch.device) -> Clip:
        """Every tensor on the device."""
        tensors: dict[str, Any] = {k: v.to(device) for k, v in self.__dict__.items() if isinstance(v, Tensor)}
        return replace(self, **tensors)


@dataclass
class ClipConfig:
    """Lengths and budgets are drawn per batch, so that both dials are honest at play time.

    ``pasts`` are frames of past before a clip; 0 trains the forgetful twin. A batch whose context is ``dreamt`` sees
    the model's own frames instead of true ones from somewhere in the clip on, dreamt up to ``dreamt_passes`` times one
    over the other. ``returning_odds`` of the clips hold a view that comes back after more than 16 frames, which uniform
    starts seldom do.
    """

    length: int = 16
    batch: int = 8
    pasts: tuple[int, ...] = (0, 8, 40, 104)
    past_odds: tuple[float, ...] = (0.15, 0.15, 0.25, 0.45)
    budgets: tuple[int, ...] = (8, 16, 32, 48)
    budget_odds: tuple[float, ...] = (0.3, 0.4, 0.2, 0.1)
    dreamt_odds: float = 0.5
    dreamt_passes: int = 3
    returning_odds: float = 0.6


class RowNoise:
    """Random numbers of a batch, each row from its own generator.

    So a batch is the same however it is divided over processes, and a step can be repeated exactly.
    """

    def __init__(self, seeds: list[int], device: torch.device) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.device = device

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers (rows, *shape)."""
        return torch.stack([torch.randn(shape, generator=g) for g in self.generators]).to(self.device)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1), (rows, *shape)."""
        return torch.stack([torch.rand(shape, generator=g) for g in self.generators]).to(self.device)


Pick = Callable[[np.random.Generator], tuple[LatentEpisode, int]]
"""An episode, and the frame >= 1 of it that a clip begins at."""


def draw(
    episodes: list[LatentEpisode],
    config: ClipConfig,
    seed: int,
    step: int,
    process: int,
    device: torch.device,
) -> tuple[Clip, RowNoise]:
    """This process's share of the batch of a step, and its noise; ``config.batch`` rows."""

    def pick(rng: np.random.Generator) -> tuple[LatentEpisode, int]:
        episode = episodes[int(rng.integers(len(episodes)))]
        # An early start has a short past, as play has.
        last = len(episode.latents) - config.length
        start = int(rng.integers(1, last + 1))
        if len(episode.returns) and rng.random() < config.returning_odds:
            back = int(rng.choice(episode.returns))
            start = min(max(1, back - int(rng.integers(config.length))), last)
        return episode, start

    return batch(pick, config, seed, step, process, device)


def batch(
    pick: Pick, config: ClipConfig, seed: int, step: int, process: int, device: torch.device
) -> tuple[Clip, RowNoise]:
    """:func:`draw` of the clips that ``pick`` picks."""
    shared = np.random.default_rng((seed, step))
    past = int(shared.choice(config.pasts, p=config.past_odds))
    budget = int(shared.choice(config.budgets, p=config.budget_odds))
    dreamt = int(shared.random() < config.dreamt_odds) * int(shared.integers(1, config.dreamt_passes + 1))
    rows, seeds = [], []
    for row in range(process * config.batch, (process + 1) * config.batch):
        rng = np.random.default_rng((seed, step, row))
        rows.append(_row(*pick(rng), config.length, past))
        seeds.append(int(rng.integers(2**62)))
    columns: dict[str, Any] = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    clip = Clip(**columns, budget=budget, dreamt=dreamt)
    return clip.to(device), RowNoise(seeds, device)


def before(rows: Tensor, stop: int, count: int) -> Tensor:
    """The ``count`` rows before row ``stop`` >= 1; before the first of an episode the first again, as in play."""
    some = rows[max(0, stop - count) : stop]
    return torch.cat([some[:1].expand(count - len(some), *some.shape[1:]), some])


def grounds(heights: Tensor) -> Tensor:
    """:func:`worldsim.models.odometry.standing_height` at each frame of an episode, from the eye's heights (N,)."""
    rises = torch.diff(torch.cat([heights[:1].expand(STANDING_MOTIONS + 1), heights[1:]]))
    is_standing = (rises.abs() < STANDING).unfold(0, STANDING_MOTIONS, 1).all(-1)
    last = torch.where(is_standing, torch.arange(len(heights), device=heights.device), 0).cummax(0).values
    return heights[last]


def _row(episode: LatentEpisode, start: int, length: int, past: int) -> dict[str, Tensor]:
    z, stop = episode.latents, start + length
    poses = episode.poses if episode.poses is not None else torch.zeros(len(z), 5)
    # Row i of ``led`` is the action that led to frame i; nothing led to the first.
    actions = torch.cat([torch.zeros_like(episode.actions[:1]), episode.actions])
    first = max(0, start - past)
    missing = past - (start - first)

    def padded(x: Tensor) -> Tensor:
        part = x[first:start]
        return torch.cat([part.new_zeros(missing, *part.shape[1:]), part]) if missing else part

    valid = torch.arange(past) >= missing
    return {
        "latents": z[start:stop].float(),
        "actions": actions[start:stop],
        "poses": poses[start:stop],
        "earlier_poses": before(poses, start, N_RECENT + 1),
        "earlier_actions": before(actions, start, N_RECENT + 1),
        "ground": grounds(poses[:, 1])[start - 1 : stop - 1],
        "before_latents": z[start - 1].float(),
        "past_latents": padded(z).float(),
        "past_actions": padded(actions),
        "past_poses": padded(poses),
        "past_valid": valid,
    }
