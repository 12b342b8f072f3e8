"""Sharpen the decoder of a checkpoint on walks: python -m training.train_decoder checkpoint=blocks walks=DIR out=RUN

That of an AR-Diffusion model is sharpened on recorded episodes: `checkpoint=blocks_ar_diffusion data=DIR`.

Encoder and latents stay as they are, so that everything that was learned over them fits. Asks for L1, SSIM, LPIPS and
patches that discriminators take for true ones, from latents a little blurred and noisy
(:mod:`training.objectives.decoding`). Walks of twice the model's side (`training.collect_walks size=128`) give the
decoder a second head, which draws pictures of that side. LPIPS needs its weights installed, `decoding.lpips=0` leaves
it out. `dreamt=FILE.npy decoding.weave=200 decoding.second_only=true` trains the second head alone, also over latents
that a generator made up (`training.imagination.latents`), where its weave shows most. The same command after a kill
goes on where it stopped; `init=RUN/checkpoint` begins with the decoder of another checkpoint over the same latents,
and with `seconds=0` that is all.
Ends by writing RUN/checkpoint and printing PSNR, SSIM and LPIPS of held-out frames, before and after, as one JSON line.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from omegaconf import MISSING
from torch import Tensor, nn

from envs.episodes.episode import Episode
from training.data.dreamt_latents import dreamt_latents
from training.data.episodes import DataError, latents_of, open_both
from training.data.frames import RandomFrames
from training.data.walks import Walks, read
from training.data.walks import episodes as episodes_of
from training.loop.adamw import OptimizerConfig
from training.loop.finetune import publish_part
from training.loop.launch import launch
from training.loop.mirror import mirrored
from training.loop.train import LoopConfig, train
from training.objectives.decoding import Decoding, DecodingConfig, pictures
from worldsim import checkpoint
from worldsim.actions import check_same
from worldsim.checkpoint import Loaded, LoadedModel
from worldsim.cli.command import command
from worldsim.config import load
from worldsim.frames import larger, to_tensor, to_uint8
from worldsim.metrics.networks import lpips
from worldsim.metrics.ssim import psnr, ssim
from worldsim.models.ar_diffusion import ArDiffusion
from worldsim.models.autoencoders.ar_vae import ArVae
from worldsim.models.autoencoders.conv import ConvAutoencoder
from worldsim.models.world_model import WorldModel


@dataclass
class Config(LoopConfig):
    data: str = ""
    checkpoint: str = MISSING
    walks: str = ""
    init: str = ""
    held_out_walks: int = 16
    batch: int = 24
    dreamt: str = (
        ""  # latents that a generator made up, (N, C, h, w), as training.imagination.latents writes them
    )
    metric: str = "alex"  # the backbone of the LPIPS that is printed, which had better be another one
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(lr=5e-4, ema=0.99))


class Source(Protocol):
    """Where frames come from."""

    def batch(self, count: int, rng: np.random.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
        """Frames (count, 3, H, W) in [-1, 1] and latents (count, ...)."""


class Recorded:
    """Single frames of episodes, and the latents that a tokenizer makes of them."""

    def __init__(self, episodes: list[Episode], tokenizer: ArVae) -> None:
        self.frames, self.tokenizer = RandomFrames(episodes), tokenizer

    @torch.no_grad()
    def batch(self, count: int, rng: np.random.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
        """Frames (count, 3, H, W) in [-1, 1] and latents (count, L, D)."""
        x = to_tensor(self.frames.batch(count, rng, run=min(count, 4)), device)
        return x, self.tokenizer.encode(x)


class Pictures:
    """Single frames of walks and their latents."""

    def __init__(self, shards: list[Walks], episodes: list[tuple[int, int]]) -> None:
        self.shards, self.episodes = shards, episodes

    def batch(self, count: int, rng: np.random.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
        """Frames (count, 3, H, W) in [-1, 1] and latents (count, C, h, w)."""
        frames, latents = [], []
        for i in rng.integers(len(self.episodes), size=count):
            shard, episode = self.episodes[i]
            walks = self.shards[shard]
            t = rng.integers(walks.steps)
            frames.append(walks.frames[episode, t])
            latents.append(walks.latents[episode, t])
        z = torch.from_numpy(np.stack(latents).astype(np.float32))
        return to_tensor(np.stack(frames), device), z.to(device)


def with_superresolution(loaded: LoadedModel) -> LoadedModel:
    """The checkpoint with a head of its decoder for twice the side, where it has none yet."""
    old = loaded.model
    if old.config.autoencoder.superresolution:
        return loaded
    model = WorldModel(replace(old.config, autoencoder=replace(old.config.autoencoder, superresolution=True)))
    model.load_state_dict(model.state_dict() | old.state_dict())
    return Loaded(model.eval(), loaded.description, loaded.path)


def opened(config: Config) -> tuple[Loaded[Any], Source, Source]:
    """The checkpoint, what its decoder is trained on, and what is held out.

    Raises:
        DataError: neither walks nor episodes where they are needed, of another world, or a tokenizer whose pictures
            depend on those before.
    """
    loaded = checkpoint.load_any(config.checkpoint)
    if isinstance(loaded.model, ArDiffusion):
        tokenizer = loaded.model.autoencoder
        if tokenizer.config.window > 1:
            raise DataError("expected a tokenizer that decodes each frame alone, found one with a window")
        if not config.data:
            raise DataError(f"a decoder of {config.checkpoint} is trained on episodes; say data=DIR")
        both = open_both(config.data, config.held_out, loaded.model.config.size)
        check_same(loaded.action_spec, both[0][0].meta["action_spec"], str(loaded.path), config.data)
        known, others = (Recorded(some, tokenizer) for some in both)
        return loaded, known, others
    loaded = checkpoint.load(config.checkpoint)
    if not config.walks:
        raise DataError(f"a decoder of {config.checkpoint} is trained on walks; say walks=DIR")
    shards = read(config.walks, latents_of(loaded.model.autoencoder))
    if shards[0].frames.shape[2] > loaded.model.config.size:
        loaded = with_superresolution(loaded)
    whole, held = list(episodes_of(shards)), -config.held_out_walks
    return loaded, Pictures(shards, whole[:held]), Pictures(shards, whole[held:])


def drawing(autoencoder: ConvAutoencoder | ArVae) -> dict[str, Tensor]:
    """The weights that make frames of latents."""
    return {k: v for k, v in autoencoder.state_dict().items() if k.startswith(autoencoder.DRAWING)}


def take_decoder(autoencoder: ConvAutoencoder | ArVae, init: str) -> dict[str, Any]:
    """Give an autoencoder the decoder of another checkpoint, and tell what is known of its training.

    Raises:
        DataError: it is over other latents, or of other sizes.
    """
    loaded = checkpoint.load_any(init)
    other = loaded.model.autoencoder
    if latents_of(other) != latents_of(autoencoder) or drawing(other).keys() != drawing(autoencoder).keys():
        raise DataError(f"expected init={init} to draw the latents of checkpoint, found another autoencoder")
    autoencoder.load_state_dict(drawing(other), strict=False)
    return dict(loaded.description.training.get("decoder", {}))


@torch.no_grad()
def measure(
    autoencoder: ConvAutoencoder | ArVae, frames: Tensor, latents: Tensor, perceptual: lpips.Lpips | None
) -> dict[str, float]:
    """Means over frames (N, 3, H, W) in [-1, 1] against what is drawn from their latents."""
    side = frames.shape[-1]
    true, drawn = to_uint8(frames), to_uint8(larger(pictures(autoencoder, latents, side), side))
    pairs = list(zip(true, drawn, strict=True))
    scores = {
        "psnr": round(float(np.mean([psnr(a, b) for a, b in pairs])), 3),
        "ssim": round(float(np.mean([ssim(a, b) for a, b in pairs])), 4),
        "n": len(pairs),
    }
    if perceptual is not None:
        scores["lpips"] = round(float(lpips.lpips(perceptual, true, drawn).mean()), 4)
    return scores


@command
@mirrored
def main(args: list[str]) -> int:
    config = load(Config, args)
    accelerator = launch(config, partial=True)
    device = accelerator.device
    loaded, source, held = opened(config)
    autoencoder, side = loaded.model.autoencoder.to(device), loaded.model.config.size
    if config.init:
        known = take_decoder(autoencoder, config.init)
        if not config.seconds:
            publish_part(config.out, loaded, "decoder", known)
            return 0
    perceptual: lpips.Lpips | None = None
    metric: lpips.Lpips | None = None
    if config.decoding.lpips:
        perceptual = lpips.load(config.decoding.backbone).to(device)
        metric = lpips.load(config.metric).to(device)
    fixed = held.batch(256, np.random.default_rng(0), device)
    dreamt = dreamt_latents("dreamt", config.dreamt, fixed[1][0]) if config.dreamt else None
    result: dict[str, object] = {"before": measure(autoencoder, *fixed, metric)}
    module = Decoding(autoencoder, config.decoding, side, perceptual.widths if perceptual else ())

    def loss_of(wrapped: nn.Module, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((config.seed, step, accelerator.process_index))
        x, z = source.batch(config.batch, rng, device)
        noise = torch.from_numpy(rng.standard_normal(tuple(z.shape), np.float32)).to(device)
        amounts = torch.from_numpy(rng.random((len(z), 2), np.float32)).to(device)
        corner = float(rng.random()), float(rng.random())
        shown = None
        if dreamt is not None:
            chosen = dreamt[np.sort(rng.integers(len(dreamt), size=max(config.batch // 2, 1)))]
            shown = torch.from_numpy(chosen.astype(np.float32)).to(device)
        with accelerator.autocast():
            losses: dict[str, Tensor] = wrapped(
                x, z, noise, amounts, corner, perceptual, step >= config.decoding.head_start, shown
            )
        return losses

    ema, counters = train(
        module,
        loss_of,
        accelerator,
        config.optimizer,
        config,
        rates={"discriminators": 4.0, "feature_discriminators": 2.0},
    )
    assert isinstance(ema, Decoding)
    if accelerator.is_main_process:
        loaded.model.autoencoder.load_state_dict(
            drawing(ema.autoencoder), strict=False
        )  # the encoder to the bit
        result |= {"steps": counters["step"], "seconds": round(counters["seconds"])}
        result |= {"after": measure(loaded.model.autoencoder.to(device), *fixed, metric)}
        loaded.model.cpu()
        publish_part(config.out, loaded, "decoder", result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
