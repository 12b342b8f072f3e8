"""What the trainers of whole models share: held-out losses on the way and at the end, and the checkpoint they leave."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from training.data.episodes import LatentEpisode, action_statistics
from training.loop.adamw import OptimizerConfig
from training.loop.trackers import Writer
from training.loop.train import LoopConfig, train
from worldsim.checkpoint import save
from worldsim.models.ar_diffusion import ArDiffusion
from worldsim.models.video_model import VideoModel
from worldsim.models.world_model import WorldModel

HELD_OUT_SEED = 7
"""Of the held-out clips, the same for every run, so that runs compare."""

LossesOn = Callable[[list[LatentEpisode], nn.Module, int, int], dict[str, Tensor]]
"""Losses on a batch drawn from episodes, of a module, by seed and step."""
O = TypeVar("O", bound=nn.Module)  # noqa: E741


def fit(
    objective: O,
    losses_on: LossesOn,
    episodes: tuple[list[LatentEpisode], list[LatentEpisode]],
    config: LoopConfig,
    optimizer: OptimizerConfig,
    accelerator: Accelerator,
    batches: int = 16,
    log_images: Callable[[O, Writer, int], None] | None = None,
    blocks: tuple[str, ...] = (),
) -> tuple[O, dict[str, Any]]:
    """Train on the first episodes; the EMA of ``objective``, and steps, seconds and losses on the second.

    Args:
        batches: held-out batches that are averaged over.
        log_images: what else is written to tensorboard from time to time.
        blocks: how the names of the parts begin whose matrices Muon moves, where it has a rate.
    """
    known, held_out = episodes

    @torch.no_grad()
    def evaluate(module: nn.Module) -> dict[str, float]:
        learning = module.training
        module.eval()
        losses = mean_losses([losses_on(held_out, module, HELD_OUT_SEED, i) for i in range(batches)])
        module.train(learning)
        return losses

    def sample(module: nn.Module, writer: Writer, step: int) -> None:
        for name, value in evaluate(module).items():
            writer.add_scalar(f"held_out/{name}", value, step)
        if log_images is not None:
            assert isinstance(module, type(objective))
            log_images(module, writer, step)

    def loss_of(wrapped: nn.Module, step: int) -> dict[str, Tensor]:
        return losses_on(known, wrapped, config.seed, step)

    ema, counters = train(objective, loss_of, accelerator, optimizer, config, sample, blocks=blocks)
    assert isinstance(ema, type(objective))
    result: dict[str, Any] = {"steps": counters["step"], "seconds": round(counters["seconds"], 1)}
    if accelerator.is_main_process:
        result["held_out"] = evaluate(ema)
    return ema, result


def mean_losses(rows: list[dict[str, Tensor]]) -> dict[str, float]:
    """Means by name over the batches that have them."""
    found: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            found.setdefault(name, []).append(float(value))
    return {name: round(sum(some) / len(some), 5) for name, some in found.items()}


def begin_over(
    model: WorldModel | VideoModel | ArDiffusion, autoencoder: nn.Module, episodes: list[LatentEpisode]
) -> None:
    """Give a model the autoencoder of its episodes, which stays as it is, and their actions' spread."""
    model.autoencoder.load_state_dict(autoencoder.state_dict())
    model.autoencoder.requires_grad_(False)
    model.action_mean, model.action_std = action_statistics(episodes)


def publish(
    out: str, model: WorldModel | VideoModel | ArDiffusion, meta: dict[str, Any], result: dict[str, Any]
) -> None:
    """Write OUT/checkpoint with what the episodes and the training tell of it, and print the latter."""
    named = ("env_id", "env_version", "family", "backend", "action_spec")
    facts = {key: meta[key] for key in named if meta[key] is not None}  # frames of one's own name no world
    save(Path(out) / "checkpoint", model, {**facts, "training": result})
    print(json.dumps(result))
