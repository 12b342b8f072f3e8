"""Train a checkpoint's reading of memory alone: views that come back, drawn from older frames at true poses.

    python -m training.train_reader data=DIR checkpoint=NAME_OR_PATH out=RUN seconds=600

Writes RUN/checkpoint, the same model with another frame encoder and reader, and prints the held-out error as one JSON
line. `training.train_denoiser` trains them too, but what lies between the frames of a clip says little of how to read
an old one: begin here, go on there with `init=RUN/checkpoint`. ``fresh=true`` begins from random weights. The same
command after a kill goes on where it stopped.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from omegaconf import MISSING
from torch import Tensor, nn
from torch.nn import functional as F

from training.cli import command
from training.dataset import DataError, LatentEpisode
from training.loop import LoopConfig, OptimizerConfig, precision, train
from training.part import encoded, save_part
from worldsim import checkpoint
from worldsim.config import load
from worldsim.memory.reader import FrameEncoder, RayReader
from worldsim.memory.selection import relevant_views
from worldsim.world_model import WorldModel

OLDER_THAN = 16
"""Frames between a view and the youngest one that it is drawn from."""


@dataclass
class Config(LoopConfig):
    """``history`` frames before a view may be read, of which ``candidates`` are drawn at random, as a budget would."""

    data: str = MISSING
    held_out: str = ""
    checkpoint: str = MISSING
    out: str = MISSING
    fresh: bool = False
    seed: int = 0
    threads: int = 0
    batch: int = 16
    history: int = 112
    candidates: int = 48
    returning_odds: float = 0.75
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(lr=1.5e-3, warmup=60))


@dataclass
class Reads:
    """B new views, each with R older frames: latents (B, R, C, h, w), poses (B, R, 5), ages and validity (B, R);
    the pose (B, 5) and latents (B, C, h, w) of the new one."""

    latents: Tensor
    poses: Tensor
    ages: Tensor
    valid: Tensor
    target: Tensor
    true: Tensor

    def to(self, device: torch.device) -> Reads:
        """Every tensor on the device."""
        return Reads(*(x.to(device) for x in self.__dict__.values()))


class Reading(nn.Module):
    """Frame encoder and reader with their loss; ``forward`` is what a distributed launcher wraps."""

    def __init__(self, encoder: FrameEncoder, reader: RayReader) -> None:
        super().__init__()
        self.encoder, self.reader = encoder, reader

    def forward(self, reads: Reads) -> dict[str, Tensor]:
        """Mean squared error of what is drawn (unit-variance latents)."""
        features = self.encoder(reads.latents.flatten(0, 1)).unflatten(0, reads.ages.shape)
        points = self.reader.points(features, reads.poses)
        guess, _ = self.reader(features, points, reads.poses, reads.ages, reads.valid, reads.target)
        return {"loss": F.mse_loss(guess.float(), reads.true)}


def reads(
    model: WorldModel, chosen: list[tuple[LatentEpisode, int]], config: Config, rng: np.random.Generator
) -> Reads:
    """What frames of episodes are drawn from: the most relevant of ``candidates`` older frames each."""
    count, room = model.config.memory.reads, config.candidates
    rows = []
    for episode, at in chosen:
        assert episode.poses is not None
        first, stop = max(0, at - config.history), at - OLDER_THAN
        some = np.sort(rng.choice(stop - first, min(stop - first, room), replace=False)) + first
        poses = F.pad(episode.poses[some], (0, 0, 0, room - len(some)))
        known = torch.arange(room) < len(some)
        best, valid = relevant_views(poses[None], known[None], episode.poses[at][None], count, model.scale)
        frames = torch.from_numpy(np.resize(some, room))[best[0]]  # what is not valid is not read
        rows.append(
            Reads(
                episode.latents[frames].float(),
                poses[best[0]],
                (at - frames).float(),
                valid[0],
                episode.poses[at],
                episode.latents[at].float(),
            )
        )
    names = Reads.__dataclass_fields__
    return Reads(*(torch.stack([getattr(row, name) for row in rows]) for name in names))


@torch.no_grad()
def error(
    model: WorldModel, module: Reading, episodes: list[LatentEpisode], config: Config
) -> dict[str, float]:
    """Mean squared error over every second returning view of the episodes, and their number."""
    device = next(module.parameters()).device
    views = [(e, int(i)) for e in episodes for i in e.returns if i > OLDER_THAN + 4][::2]
    rng, losses = np.random.default_rng(1), []
    for i in range(0, len(views), 32):
        some = views[i : i + 32]
        losses += [float(module(reads(model, some, config, rng).to(device))["loss"])] * len(some)
    return {"error": float(np.mean(losses)) if losses else float("nan"), "n": len(views)}


@command
def main(args: list[str]) -> int:
    config = load(Config, args)
    if config.threads:
        torch.set_num_threads(config.threads)
    accelerator = Accelerator(mixed_precision=precision())
    loaded = checkpoint.load(config.checkpoint, accelerator.device)
    model = loaded.model
    episodes, held_out = encoded(loaded, config.data, config.held_out, Path(config.out), accelerator)
    if not any(len(e.returns) for e in episodes) or any(len(e.latents) <= OLDER_THAN + 5 for e in episodes):
        raise DataError(
            f"{config.data}: expected episodes of more than {OLDER_THAN + 5} frames, some of them with "
            "views that come back; record with policy=needle or mixed"
        )
    torch.manual_seed(config.seed)
    if config.fresh:
        fresh = WorldModel(model.config)
        model.frame_encoder, model.reader = fresh.frame_encoder, fresh.reader
    model.cpu()

    def loss_of(wrapped: nn.Module, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((config.seed, step, accelerator.process_index))
        chosen: list[tuple[LatentEpisode, int]] = []
        while len(chosen) < config.batch:
            episode = episodes[int(rng.integers(len(episodes)))]
            back = len(episode.returns) and rng.random() < config.returning_odds
            at = int(rng.choice(episode.returns) if back else rng.integers(len(episode.latents)))
            if at > OLDER_THAN + 4:
                chosen.append((episode, at))
        batch = reads(model, chosen, config, rng).to(accelerator.device)
        with accelerator.autocast():
            losses: dict[str, Tensor] = wrapped(batch)
        return losses

    module = Reading(model.frame_encoder, model.reader)
    ema, counters = train(module, loss_of, Path(config.out), accelerator, config.optimizer, config)
    assert isinstance(ema, Reading)
    if accelerator.is_main_process:
        result: dict[str, Any] = {"steps": counters["step"], "seconds": round(counters["seconds"], 1)}
        result["held_out"] = error(model, ema, held_out, config)
        model.frame_encoder, model.reader = ema.encoder.cpu(), ema.reader.cpu()
        save_part(Path(config.out), loaded, "reader", result)
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
