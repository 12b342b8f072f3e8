"""Train a checkpoint's dead reckoning alone, on recorded poses: minutes on one core.

    python -m training.train_odometry data=DIR checkpoint=NAME_OR_PATH out=RUN seconds=900

Writes RUN/checkpoint, the same model with another odometry, and prints how far it drifts on held-out episodes as one
JSON line. `training.train_denoiser` trains the odometry too, on far fewer walks. ``fresh=true`` begins from random
weights. The same command after a kill goes on where it stopped.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from omegaconf import MISSING
from torch import Tensor, nn

from training.data.clips import RowNoise
from training.data.episodes import LatentEpisode
from training.loop.adamw import OptimizerConfig
from training.loop.encode import encode_both
from training.loop.finetune import opened, publish_part
from training.loop.launch import launch
from training.loop.mirror import mirrored
from training.loop.train import LoopConfig, train
from training.objectives.odometry import (
    Walk,
    dead_reckon,
    fit_turns,
    last_motions,
    measure_drift,
    odometry_loss,
    walk_from,
)
from worldsim import checkpoint
from worldsim.cli.command import command
from worldsim.config import load
from worldsim.models.geometry import TURN_UNIT, motion, wrap
from worldsim.models.odometry import N_RECENT, Odometry
from worldsim.models.world_model import WorldModel

AFTER = (16, 48, 100)
"""Frames after which drift is told."""


@dataclass
class Config(LoopConfig):
    checkpoint: str = MISSING
    fresh: bool = False
    batch: int = 32
    length: int = 16
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(lr=1.5e-3, clip=0.5, ema=0.99))


class OdometryObjective(nn.Module):
    """An odometry with its loss; ``forward`` is what a distributed launcher wraps."""

    def __init__(self, odometry: Odometry) -> None:
        super().__init__()
        self.odometry = odometry

    def forward(self, walk: Walk, noise: RowNoise) -> dict[str, Tensor]:
        """The loss of one batch."""
        return {"loss": odometry_loss(self.odometry, walk, noise)}


@torch.no_grad()
def drift(model: WorldModel, episodes: list[LatentEpisode]) -> dict[str, dict[str, float]]:
    """Mean error of the motion reckoned over some frames along true pictures: {frames: {what: error}}, and n.

    ``across`` and ``up`` in the world's units, ``yaw`` and ``pitch`` in degrees, over every stretch of every episode.
    """
    errors: dict[int, list[Tensor]] = {after: [] for after in AFTER}
    for episode in episodes:
        walk = walk_from(model, episode, 0, len(episode.latents) - 1)
        found = dead_reckon(model.odometry, walk, walk.poses[:, N_RECENT], last_motions(model.odometry, walk))
        found, true = torch.cat([walk.poses[0, N_RECENT : N_RECENT + 1], found[0]]), walk.poses[0, N_RECENT:]
        for after in AFTER:
            off = motion(found[:-after], found[after:], 1.0) - motion(true[:-after], true[after:], 1.0)
            across, turned = off[:, [0, 2]].norm(dim=-1), wrap(off[:, 3] * TURN_UNIT)
            errors[after].append(
                torch.stack([across, off[:, 1].abs(), turned.abs(), off[:, 4].abs() * TURN_UNIT], -1)
            )
    drifts: dict[str, dict[str, float]] = {}
    for after, parts in errors.items():
        rows = torch.cat(parts)
        if not len(rows):
            continue  # no episode is that long
        means = [round(float(x), 4) for x in rows.mean(0)]
        drifts[str(after)] = dict(zip(("across", "up", "yaw", "pitch"), means, strict=True)) | {
            "n": len(rows)
        }
    return drifts


@command
@mirrored
def main(args: list[str]) -> int:
    config = load(Config, args)
    accelerator = launch(config)
    loaded = checkpoint.load(config.checkpoint, accelerator.device)
    model = loaded.model
    both = opened(loaded, config.data, config.held_out, config.length + 1)
    episodes, held_out = encode_both(both, model.autoencoder, config.encoded, accelerator, config)
    if config.fresh:
        m = model.config
        model.odometry = Odometry(m.autoencoder.channels, model.grid, m.action_dim, model.scale)

    model.cpu()  # its buffers normalise actions while walks are drawn
    exact = fit_turns(model, episodes)

    def loss_of(wrapped: nn.Module, step: int) -> dict[str, Tensor]:
        walks, seeds = [], []
        for row in range(
            accelerator.process_index * config.batch, (accelerator.process_index + 1) * config.batch
        ):
            rng = np.random.default_rng((config.seed, step, row))
            episode = episodes[int(rng.integers(len(episodes)))]
            start = int(rng.integers(len(episode.latents) - config.length))
            walks.append(walk_from(model, episode, start, config.length))
            seeds.append(int(rng.integers(2**62)))
        columns = [
            torch.cat([getattr(w, name) for w in walks]) for name in ("latents", "actions", "poses", "ground")
        ]
        walk = Walk(*(column.to(accelerator.device) for column in columns))
        with accelerator.autocast():
            losses: dict[str, Tensor] = wrapped(walk, RowNoise(seeds, accelerator.device))
        return losses

    ema, counters = train(OdometryObjective(model.odometry), loss_of, accelerator, config.optimizer, config)
    assert isinstance(ema, OdometryObjective)
    if accelerator.is_main_process:
        model.odometry = ema.odometry.cpu()
        result: dict[str, Any] = {"steps": counters["step"], "seconds": round(counters["seconds"], 1)}
        measure_drift(model, held_out)
        result |= {"exact_turns": exact, "drift": drift(model, held_out)}
        publish_part(config.out, loaded, "odometry", result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
