"""Train a checkpoint's reading of memory alone: views that come back, drawn from older frames at true poses.

    python -m training.train_reader data=DIR checkpoint=NAME_OR_PATH out=RUN seconds=600

Writes RUN/checkpoint, the same model with another frame encoder and reader, and prints the held-out error as one JSON
line. `training.train_denoiser` trains them too, but what lies between the frames of a clip says little of how to read
an old one: begin here, go on there with `init=RUN/checkpoint`. ``fresh=true`` begins from random weights. The same
command after a kill goes on where it stopped.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from omegaconf import MISSING
from torch import Tensor, nn

from training.data.episodes import DataError, LatentEpisode
from training.data.returning_views import (
    OLDER_THAN,
    ReadsConfig,
    ReturningViews,
    draw_reads,
    gather,
    readable,
    reading_loss,
)
from training.loop.adamw import OptimizerConfig
from training.loop.encode import encode_both
from training.loop.finetune import opened, publish_part
from training.loop.launch import launch
from training.loop.mirror import mirrored
from training.loop.train import LoopConfig, train
from worldsim import checkpoint
from worldsim.cli.command import command
from worldsim.config import load
from worldsim.models.memory.rays.reader import FrameEncoder, RayReader
from worldsim.models.world_model import WorldModel


@dataclass
class Config(ReadsConfig, LoopConfig):
    checkpoint: str = MISSING
    fresh: bool = False
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(lr=1.5e-3, warmup=60))


class Reading(nn.Module):
    """Frame encoder and reader with their loss; ``forward`` is what a distributed launcher wraps."""

    def __init__(self, encoder: FrameEncoder, reader: RayReader) -> None:
        super().__init__()
        self.encoder, self.reader = encoder, reader

    def forward(self, reads: ReturningViews) -> dict[str, Tensor]:
        """Mean squared error of what is drawn (unit-variance latents)."""
        return {"loss": reading_loss(self.encoder, self.reader, reads)}


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
        batch = gather(model, some, config, [rng] * len(some)).to(device)
        losses += [float(module(batch)["loss"])] * len(some)
    return {"error": float(np.mean(losses)) if losses else float("nan"), "n": len(views)}


@command
@mirrored
def main(args: list[str]) -> int:
    config = load(Config, args)
    accelerator = launch(config)
    loaded = checkpoint.load(config.checkpoint, accelerator.device)
    model = loaded.model
    both = opened(loaded, config.data, config.held_out, 2)
    episodes, held_out = encode_both(both, model.autoencoder, config.encoded, accelerator, config)
    if not readable(episodes):
        raise DataError(
            f"{config.data}: expected an episode of more than {OLDER_THAN + 5} frames with views that come back; "
            "record with policy=needle or mixed"
        )
    if config.fresh:
        fresh = WorldModel(model.config)
        model.frame_encoder, model.reader = fresh.frame_encoder, fresh.reader
    model.cpu()

    def loss_of(wrapped: nn.Module, step: int) -> dict[str, Tensor]:
        batch = draw_reads(model, episodes, config, config.seed, step, accelerator.process_index)
        batch = batch.to(accelerator.device)
        with accelerator.autocast():
            losses: dict[str, Tensor] = wrapped(batch)
        return losses

    module = Reading(model.frame_encoder, model.reader)
    ema, counters = train(module, loss_of, accelerator, config.optimizer, config)
    assert isinstance(ema, Reading)
    if accelerator.is_main_process:
        result: dict[str, Any] = {"steps": counters["step"], "seconds": round(counters["seconds"], 1)}
        result["held_out"] = error(model, ema, held_out, config)
        model.frame_encoder, model.reader = ema.encoder.cpu(), ema.reader.cpu()
        publish_part(config.out, loaded, "reader", result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
