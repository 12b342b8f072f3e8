"""Teach a checkpoint a memory of pixels: how far away things are, and when a remembered view fits what was drawn.

    python -m training.train_pixels data=DIR checkpoint=NAME_OR_PATH out=RUN seconds=1500

Writes RUN/checkpoint, the same model with ``pixels``, and prints what it is worth on held-out dreams as one JSON line.
First only distances are learned, from true walks alone; after ``head_start`` steps the mixing too, on dreams of the
model with what it has learned so far. ``fresh=true`` begins from random weights. The same command after a kill
goes on where it stopped.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from omegaconf import MISSING
from torch import Tensor, nn

from training.data.clips import RowNoise
from training.evaluation.recall_buffer import SHORTEST, Batch, DreamsConfig, RecallBuffer
from training.loop.adamw import OptimizerConfig
from training.loop.encode import encode_both
from training.loop.finetune import opened, publish_part
from training.loop.launch import launch
from training.loop.mirror import mirrored
from training.loop.train import LoopConfig, train
from training.objectives.image_loss import image_loss
from training.objectives.photometric import Walks, draw_walks, photometric_loss
from worldsim import checkpoint
from worldsim.checkpoint import Loaded
from worldsim.cli.command import command
from worldsim.config import load
from worldsim.frames import to_uint8
from worldsim.metrics.ssim import ssim
from worldsim.models.memory.rays.pixel_memory import PixelMemory, Seen
from worldsim.models.world_model import WorldModel


@dataclass
class Config(LoopConfig):
    """``recall_horizon``: what the checkpoint says, or another number (:class:`worldsim.config.ModelConfig`).

    ``walks`` frames a step for the distances, each with ``others`` more, and ``batch`` dreamt frames;
    ``held_out_batches`` of 16 are what is told at the end a mean of."""

    checkpoint: str = MISSING
    fresh: bool = False
    recall_horizon: int = 0
    batch: int = 16
    walks: int = 12
    others: int = 3
    head_start: int = 600
    ssim_weight: float = 0.5
    held_out_batches: int = 16
    dreams: DreamsConfig = field(default_factory=DreamsConfig)
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(lr=2e-3, warmup=60, ema=0.99))


class Mixing(nn.Module):
    """A memory of pixels with its losses; ``forward`` is what a distributed launcher wraps."""

    def __init__(self, pixels: PixelMemory, ssim_weight: float) -> None:
        super().__init__()
        self.pixels, self.ssim_weight = pixels, ssim_weight

    def forward(
        self, walks: Walks, noise: Tensor, batch: Batch | None, drawn: Tensor | None
    ) -> dict[str, Tensor]:
        """The loss of the distances, and of the pictures that dreamt frames (B, 3, H, W) become."""
        loss, agreed = photometric_loss(self.pixels, walks, noise)
        losses = {"agreed": agreed}
        if batch is not None and drawn is not None:
            shown, _, similar = image_loss(self.shown(batch, drawn), batch.true, self.ssim_weight)
            loss, losses["ssim"] = loss + shown, similar
        return {"loss": loss, **losses}

    def shown(self, batch: Batch, drawn: Tensor) -> Tensor:
        """What dreamt frames become with what is remembered, (B, 3, H, W)."""
        pixels, (b, r) = self.pixels, batch.views.poses.shape[:2]
        latents = torch.cat([batch.latents, batch.seen_latents.flatten(0, 1)])
        pitch = torch.cat([batch.poses[:, 4], batch.views.poses[..., 4].flatten()])
        depth = pixels.depth(latents, pitch)
        views = Seen(**vars(batch.views) | {"depth": depth[b:].unflatten(0, (b, r))})
        with torch.autocast(drawn.device.type, enabled=False):
            return pixels(drawn, depth[:b], batch.poses, views)


def with_pixels(model: WorldModel, fresh: bool = False, horizon: int = 0) -> WorldModel:
    """The model with a memory of pixels: its own, where it has one and that is wanted, else one that knows nothing."""
    horizon = horizon or model.config.recall_horizon
    both = WorldModel(replace(model.config, pixels=True, recall_horizon=horizon))
    kept = {k: w for k, w in model.state_dict().items() if not (fresh and k.startswith("pixels."))}
    both.load_state_dict(both.state_dict() | kept)
    return both.to(next(model.parameters()).device).eval()


@torch.no_grad()
def worth(
    model: WorldModel, module: Mixing, dreams: RecallBuffer, seed: int, batches: int
) -> dict[str, float]:
    """SSIM of held-out dreamt frames as they were drawn and as they are shown, and their number."""
    device, rng = next(model.parameters()).device, np.random.default_rng(seed)
    scores: dict[str, list[float]] = {"drawn": [], "shown": []}
    for _ in range(batches):
        batch = dreams.pick(16, rng).to(device)
        drawn = model.autoencoder.decode(batch.latents)
        true = to_uint8(batch.true)
        for name, found in (("drawn", drawn), ("shown", module.shown(batch, drawn))):
            scores[name] += [ssim(t, f) for t, f in zip(true, to_uint8(found), strict=True)]
    means = {name: round(float(np.mean(values)), 4) for name, values in scores.items()}
    return means | {"n": len(scores["drawn"])}


@command
@mirrored
def main(args: list[str]) -> int:
    config = load(Config, args)
    accelerator = launch(config, partial=True)
    begun = checkpoint.load(config.checkpoint, accelerator.device)
    sources, held = opened(begun, config.data, config.held_out, SHORTEST)
    episodes, _ = encode_both((sources, held), begun.model.autoencoder, config.encoded, accelerator, config)
    model = with_pixels(begun.model, config.fresh, config.recall_horizon)
    loaded = Loaded(model, begun.description, begun.path)
    pairs = list(zip(sources, episodes, strict=True))
    dreams = RecallBuffer(loaded, sources, config.dreams)
    model.requires_grad_(False)
    model.pixels.requires_grad_(True)
    device = accelerator.device

    def loss_of(wrapped: nn.Module, step: int) -> dict[str, Tensor]:
        process = accelerator.process_index
        rng = np.random.default_rng((config.seed, step, process))
        walks = draw_walks(pairs, config.walks, config.others, model.scale, rng).to(device)
        noise = RowNoise([int(x) for x in rng.integers(2**62, size=config.walks)], device)
        batch = drawn = None
        if step >= config.head_start:
            dreams.refresh(config.seed, step, process)
            batch = dreams.pick(config.batch, rng).to(device)
            with torch.no_grad():
                drawn = model.autoencoder.decode(batch.latents)
        with accelerator.autocast():
            losses: dict[str, Tensor] = wrapped(walks, noise.normal(*walks.latents.shape[1:]), batch, drawn)
        return losses

    module = Mixing(model.pixels, config.ssim_weight)
    ema, counters = train(module, loss_of, accelerator, config.optimizer, config)
    assert isinstance(ema, Mixing)
    if accelerator.is_main_process:
        model.pixels = ema.pixels
        result: dict[str, Any] = {"steps": counters["step"], "seconds": round(counters["seconds"], 1)}
        unseen = RecallBuffer(loaded, held, replace(config.dreams, first=min(4, len(held))))
        unseen.refresh(config.seed, 0, 0)
        result["held_out"] = worth(model, ema, unseen, config.seed, config.held_out_batches)
        publish_part(config.out, loaded, "pixels", result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
