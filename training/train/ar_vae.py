"""Train the tokenizer of AR-Diffusion on recorded episodes, in the three stages of its section 4.1.

    python -m training.train_ar_vae data=DIR held_out=DIR out=RUN seconds=3600

Reconstruction of single frames, then the same against a discriminator, then clips decoded causally, all weights going
on. `stages.reconstruction=0.3` and so on are the shares of `seconds` (and of `steps`); a share of 0 leaves a stage out,
and without the causal one the decoder's window is 1. `config=assets/configs/ar_vae.yaml` is the paper's size. The same
command after a kill goes on in the stage where it stopped. Without `init` tokens are principal components of their
parts of the picture at first (`autoencoder.linear`); `init=FILE` begins from the weights of another AR-VAE, of another
world or with other dims of latents, as far as the two overlap. Writes RUN/ar_vae.safetensors (the EMA weights, with
their configuration) and prints the held-out PSNR and SSIM as one JSON line.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from training.data.episodes import long_enough, open_both
from training.data.frames import RandomClips
from training.loop.adamw import OptimizerConfig
from training.loop.components import RATES, components
from training.loop.launch import launch
from training.loop.mirror import mirrored
from training.loop.trackers import Writer
from training.loop.train import LoopConfig, train
from training.objectives.image_loss import image_loss
from training.objectives.patch_discriminator import PatchDiscriminator, hinge
from worldsim.checkpoint import load_ar_vae, save_autoencoder
from worldsim.cli.command import command
from worldsim.config import ArVaeConfig, ConfigError, load
from worldsim.frames import to_tensor, to_uint8
from worldsim.metrics.ssim import psnr, ssim
from worldsim.models.autoencoders.ar_vae import ArVae

STAGES = ("reconstruction", "adversarial", "causal")
BLOCKS = ("autoencoder.encoder.", "autoencoder.decoder.")


@dataclass
class StagesConfig:
    """Shares of the whole run; the paper's are 50, 450 and 100 of 600 thousand steps."""

    reconstruction: float = 0.4
    adversarial: float = 0.3
    causal: float = 0.3

    def __post_init__(self) -> None:
        shares = [getattr(self, stage) for stage in STAGES]
        if min(shares) < 0 or not sum(shares):
            raise ConfigError(f"stages: expected shares of at least 0 that do not all vanish, found {shares}")

    def share(self, stage: str) -> float:
        """Of the whole, 0 to 1."""
        return float(getattr(self, stage)) / sum(getattr(self, s) for s in STAGES)


@dataclass
class Config(LoopConfig):
    """``batch`` frames a step; the causal stage takes them as batch / clip stretches of ``clip`` frames.

    ``adversarial_weight=0`` spares the discriminator's time in the causal stage too. ``one_scale``: all numbers of a
    latent are divided by one deviation, so that what matters more in a picture stays larger than noise for longer.
    """

    init: str = ""
    batch: int = 16
    clip: int = 8
    latent_noise: float = 0.05
    ssim_weight: float = 0.5
    one_scale: bool = True
    adversarial_weight: float = 0.05
    stages: StagesConfig = field(default_factory=StagesConfig)
    autoencoder: ArVaeConfig = field(default_factory=lambda: ArVaeConfig(linear=True))
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(lr=5e-4, ema=0.99))


class Tokenizing(nn.Module):
    """Encode, normalise the latents, disturb them a little, decode, compare; and the adversary of the later stages."""

    def __init__(self, config: Config, stage: str) -> None:
        super().__init__()
        self.autoencoder = ArVae(config.autoencoder)
        self.discriminator = PatchDiscriminator()
        self.config, self.stage = config, stage

    def forward(self, x: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """Frames (B, T, 3, H, W) and unit noise (B, T, L, D) to the losses."""
        vae, c = self.autoencoder, self.config
        raw = vae.encode_raw(x.flatten(0, 1)).unflatten(0, x.shape[:2])  # (B, T, L, D)
        if self.training:
            with torch.no_grad():
                vae.mean.lerp_(raw.float().mean((0, 1, 2)), 0.05)
                vae.scale.lerp_(self.spread(raw.float()), 0.05)
        z = (raw - vae.mean) / vae.scale + c.latent_noise * noise
        y = vae.decode(z, causal=self.stage == "causal").flatten(0, 1).float()  # (B T, 3, H, W)
        x = x.flatten(0, 1)
        shown, pixels, similar = image_loss(y, x, c.ssim_weight)
        loss = shown + 1e-4 * raw.square().mean()
        losses = {"l1": pixels, "ssim": similar}
        if self.stage != "reconstruction" and c.adversarial_weight:
            generator_loss, discriminator_loss = hinge(self.discriminator, x, y)
            loss = loss + c.adversarial_weight * generator_loss + discriminator_loss
            losses |= {"generator": generator_loss, "discriminator": discriminator_loss}
        return {"loss": loss, **losses}

    def spread(self, raw: Tensor) -> Tensor:
        """What latents (B, T, L, D) are divided by, (D,): each number's own deviation, or one for all of them."""
        each = raw.std((0, 1, 2)).clamp_min(1e-3)
        return each.square().mean().sqrt().expand_as(each) if self.config.one_scale else each


@torch.no_grad()
def begin_from(model: ArVae, other: ArVae) -> None:
    """Copy the weights of another AR-VAE; of tensors that are larger in one, the corner that both have.

    Where the other has no linear tokens, they begin by adding nothing.
    """
    theirs = other.state_dict()
    for name, ours in model.state_dict().items():
        if name not in theirs:
            ours.zero_()
            continue
        corner = tuple(slice(0, min(a, b)) for a, b in zip(ours.shape, theirs[name].shape, strict=True))
        ours[corner] = theirs[name][corner]


@torch.no_grad()
def begin_with_components(model: ArVae, frames: np.ndarray) -> None:
    """Let patches enter and leave as principal components of those in frames (N, 1, H, W, 3), half whitened.

    What is between the two layers has then only to hand the strongest components on to show a picture. Where tokens
    take their own part of it linearly, that is principal components, too, and the whole begins as those.
    """
    c, shown = model.config, to_tensor(frames[:, 0], model.mean.device)
    gain, found, mean = components(shown, (c.patch, c.patch), c.width)
    count = len(gain)
    model.patches_in.weight[:count] = (gain * found).unflatten(1, (3, c.patch, c.patch))
    assert model.patches_in.bias is not None
    model.patches_in.bias[:count] = -gain[:, 0] * (found @ mean)
    if not c.linear:
        model.patches_out.weight[:, :count] = (found / gain).T
        model.patches_out.bias.copy_(mean)
        return
    part = model.part
    gain, found, mean = components(shown, part, c.dim)
    for linear in (model.part_in, model.part_out):
        nn.init.zeros_(linear.weight)
    model.part_in.bias.zero_()
    model.part_in.weight[: len(gain)] = gain * found
    model.part_in.bias[: len(gain)] = -gain[:, 0] * (found @ mean)
    model.part_out.weight[:, : len(gain)] = (found / gain).T
    model.part_out.bias.copy_(mean)


@torch.no_grad()
def measure(autoencoder: ArVae, clips: np.ndarray) -> dict[str, float]:
    """Mean PSNR (dB) and SSIM of clips (B, T, H, W, 3) against their reconstructions."""
    device, (b, t) = next(autoencoder.parameters()).device, clips.shape[:2]
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for clip in clips:
        z = autoencoder.encode(to_tensor(clip, device))
        pairs += list(zip(clip, to_uint8(autoencoder.decode(z[None])[0]), strict=True))
    return {
        "psnr": float(np.mean([psnr(a, b) for a, b in pairs])),
        "ssim": float(np.mean([ssim(a, b) for a, b in pairs])),
        "n": b * t,
    }


def _begin(autoencoder: ArVae, config: Config, source: RandomClips) -> None:
    """The weights of the first stage: another autoencoder's, or the principal components of some frames."""
    if config.init:
        begin_from(autoencoder, load_ar_vae(config.init)[0])
    else:
        begin_with_components(autoencoder, source.batch(512, 1, np.random.default_rng(config.seed)))


def _log_images(
    ema: nn.Module, writer: Writer, step: int, frames: np.ndarray, causal: bool, device: torch.device
) -> None:
    """True frames (T, H, W, 3) above decoded ones, to TensorBoard."""
    assert isinstance(ema, Tokenizing)
    with torch.no_grad():
        x = to_tensor(frames, device)
        y = ema.autoencoder.decode(ema.autoencoder.encode(x)[None], causal)[0]
    writer.add_images("held_out/true_above_decoded", torch.cat([x, y.clamp(-1, 1)]) / 2 + 0.5, step)


@command
@mirrored
def main(args: list[str]) -> int:
    config = load(Config, args)
    if config.clip < 1 or config.batch % config.clip:
        raise ConfigError(f"expected a batch of whole clips of {config.clip} frames, found {config.batch}")
    # The discriminator rests in the first stage.
    accelerator = launch(config, partial=True)
    episodes, held = long_enough(open_both(config.data, config.held_out), config.clip, config.data)
    shape = config.autoencoder
    shape.size = int(episodes[0].meta["size"])
    if not config.stages.causal:
        shape.window = 1  # a decoder that never met the past must not be shown it
    source, out = RandomClips(episodes), Path(config.out)
    fixed = RandomClips(held).batch(16, config.clip, np.random.default_rng(0))
    total: dict[str, Any] = {"steps": 0, "seconds": 0.0}
    before: nn.Module | None = None
    for number, stage in enumerate(STAGES):
        share = config.stages.share(stage)
        if not share:
            continue
        length = config.clip if stage == "causal" else 1
        torch.manual_seed(config.seed)
        model = Tokenizing(config, stage)
        if before is not None:
            model.load_state_dict(before.state_dict())
        else:
            _begin(model.autoencoder, config, source)

        def loss_of(
            wrapped: nn.Module, step: int, length: int = length, number: int = number
        ) -> dict[str, Tensor]:
            rng = np.random.default_rng((config.seed, number, step, accelerator.process_index))
            clips = source.batch(config.batch // length, length, rng)  # (B, T, H, W, 3)
            x = to_tensor(clips.reshape(-1, *clips.shape[2:]), accelerator.device).unflatten(
                0, clips.shape[:2]
            )
            noise = rng.standard_normal((*clips.shape[:2], shape.tokens, shape.dim), np.float32)
            with accelerator.autocast():
                losses: dict[str, Tensor] = wrapped(x, torch.from_numpy(noise).to(x.device))
            return losses

        def sample(ema: nn.Module, writer: Writer, step: int, causal: bool = stage == "causal") -> None:
            _log_images(ema, writer, step, fixed[0], causal, accelerator.device)

        steps = max(1, round(config.steps * share)) if config.steps else 0
        part = replace(config, out=str(out / stage), seconds=config.seconds * share, steps=steps)
        before, counters = train(model, loss_of, accelerator, config.optimizer, part, sample, RATES, BLOCKS)
        total["steps"] += counters["step"]
        total["seconds"] = round(total["seconds"] + counters["seconds"], 1)
    assert isinstance(before, Tokenizing)
    before.eval()
    if accelerator.is_main_process:
        result = total | measure(before.autoencoder, fixed)
        save_autoencoder(out / "ar_vae.safetensors", before.autoencoder, shape)
        (out / "ar_vae.json").write_text(json.dumps(result) + "\n")
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
