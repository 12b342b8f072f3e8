"""Train the convolutional autoencoder on recorded frames.

    python -m training.train_autoencoder data=DIR held_out=DIR out=RUN seconds=900

The same command after a kill goes on where it stopped. Writes RUN/autoencoder.safetensors (the EMA weights, with
their configuration) and prints the held-out PSNR and SSIM as one JSON line. `init=RUN/autoencoder.safetensors` goes on
from another run's weights, with `decoder_only=true` without touching its latents, so that a checkpoint over them can
take the new decoder.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from training.data.episodes import open_both
from training.data.frames import ORDERS, RandomFrames, ShardOrder
from training.loop.adamw import OptimizerConfig
from training.loop.components import RATES, components
from training.loop.launch import launch
from training.loop.mirror import mirrored
from training.loop.trackers import Writer
from training.loop.train import LoopConfig, train
from training.objectives.decoding import let_learn
from training.objectives.image_loss import image_loss
from worldsim.checkpoint import load_autoencoder, save_autoencoder
from worldsim.cli.command import command
from worldsim.config import AutoencoderConfig, ConfigError, load
from worldsim.frames import to_tensor, to_uint8
from worldsim.metrics.ssim import psnr, ssim
from worldsim.models.autoencoders.conv import PART, ConvAutoencoder

COMPONENTS_OF = 512
"""Frames that principal components are taken of."""


@dataclass
class Config(LoopConfig):
    """``order``: uniform draws from any episode at any time; shards goes through shards one after another, for data
    that is larger than the cache of what comes from a store."""

    init: str = ""
    decoder_only: bool = False
    batch: int = 24
    order: str = "uniform"
    latent_noise: float = 0.1
    ssim_weight: float = 0.5
    autoencoder: AutoencoderConfig = field(default_factory=lambda: AutoencoderConfig(linear=True))
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(lr=2e-3, ema=0.99))

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise ConfigError(f"expected order={' or '.join(ORDERS)}, found order={self.order}")


class Reconstruction(nn.Module):
    """Encode, measure and normalise the latents, disturb them a little, decode, compare."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.autoencoder = ConvAutoencoder(config.autoencoder)
        self.noise, self.ssim_weight = config.latent_noise, config.ssim_weight
        self.decoder_only = config.decoder_only
        if config.decoder_only:
            let_learn(self.autoencoder, ConvAutoencoder.DRAWING)

    def forward(self, x: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """Frames (N, 3, H, W) and unit noise of the latents' shape to the losses."""
        raw = self.autoencoder.encode_raw(x)
        if self.training and not self.decoder_only:
            with torch.no_grad():
                std = raw.float().std((0, 2, 3)).clamp_min(1e-3)
                self.autoencoder.scale.lerp_(std, 0.05)
        scale = self.autoencoder.scale[:, None, None]
        y = self.autoencoder.decode(raw / scale + self.noise * noise)
        loss, pixels, similar = image_loss(y, x, self.ssim_weight)
        size = 1e-4 * raw.square().mean()
        return {"loss": loss + size, "l1": pixels, "ssim": similar}


@torch.no_grad()
def begin_with_components(autoencoder: ConvAutoencoder, frames: np.ndarray) -> None:
    """Let latents begin as principal components of each cell's own pixels, half whitened, over frames (N, H, W, 3).

    They are turned into one another at random, so that all channels vary about alike, as noise does, and what matters
    more in a picture is still larger than noise for longer.
    """
    channels = autoencoder.config.channels
    gain, found, mean = components(to_tensor(frames), PART, channels)
    random = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(channels, len(gain), generator=random)).Q  # (channels, n)
    autoencoder.part_in.weight.copy_(turn @ (gain * found))
    autoencoder.part_in.bias.copy_(-autoencoder.part_in.weight @ mean)
    autoencoder.part_out.weight.copy_((found / gain).T @ turn.T)
    autoencoder.part_out.bias.copy_(mean)


@torch.no_grad()
def measure(autoencoder: ConvAutoencoder, frames: np.ndarray) -> dict[str, float]:
    """Mean PSNR (dB) and SSIM of frames (N, H, W, 3) against their reconstructions."""
    device = next(autoencoder.parameters()).device
    y = to_uint8(autoencoder.decode(autoencoder.encode(to_tensor(frames, device))))
    pairs = list(zip(frames, y, strict=True))
    return {
        "psnr": float(np.mean([psnr(a, b) for a, b in pairs])),
        "ssim": float(np.mean([ssim(a, b) for a, b in pairs])),
        "n": len(pairs),
    }


@command
@mirrored
def main(args: list[str]) -> int:
    config = load(Config, args)
    accelerator = launch(config)
    episodes, held_out = open_both(config.data, config.held_out)
    groups = config.batch // 4 * accelerator.num_processes
    order = ShardOrder(episodes, config.seed, groups) if config.order == "shards" else None
    source = RandomFrames(episodes, order)
    if config.init:
        begun, config.autoencoder = load_autoencoder(config.init)
    elif config.decoder_only:
        raise ConfigError("decoder_only=true needs init=RUN/autoencoder.safetensors, whose latents it keeps")
    # A third faster on a CPU. (torch's annotations leave this keyword out.)
    model = Reconstruction(config)
    if config.init:
        model.autoencoder.load_state_dict(begun.state_dict())
    elif config.autoencoder.linear:
        # By shards no more of them are opened than a batch opens.
        run = COMPONENTS_OF // max(1, config.batch // 4) if order else 4
        some = source.batch(COMPONENTS_OF, np.random.default_rng(config.seed), run)
        begin_with_components(model.autoencoder, some)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    out = Path(config.out)

    def loss_of(wrapped: nn.Module, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((config.seed, step, accelerator.process_index))
        x = to_tensor(
            source.batch(config.batch, rng, step=step, process=accelerator.process_index), accelerator.device
        )
        n, _, h, w = x.shape
        noise = torch.from_numpy(
            rng.standard_normal((n, config.autoencoder.channels, h // 8, w // 8), np.float32)
        )
        with accelerator.autocast():
            losses: dict[str, Tensor] = wrapped(x, noise.to(x.device))
        return losses

    fixed = RandomFrames(held_out).batch(256, np.random.default_rng(0))

    def sample(ema: nn.Module, writer: Writer, step: int) -> None:
        assert isinstance(ema, Reconstruction)
        with torch.no_grad():
            x = to_tensor(fixed[:8], accelerator.device)
            y = ema.autoencoder.decode(ema.autoencoder.encode(x))
        writer.add_images("held_out/true_above_decoded", torch.cat([x, y.clamp(-1, 1)]) / 2 + 0.5, step)

    ema, counters = train(model, loss_of, accelerator, config.optimizer, config, sample, RATES)
    assert isinstance(ema, Reconstruction)
    ema.eval()
    if accelerator.is_main_process:
        result: dict[str, Any] = {"steps": counters["step"], "seconds": round(counters["seconds"], 1)}
        result |= measure(ema.autoencoder, fixed)
        save_autoencoder(out / "autoencoder.safetensors", ema.autoencoder, config.autoencoder)
        (out / "autoencoder.json").write_text(json.dumps(result) + "\n")
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
