"""Train a video model of Meta-ARVDM over a trained autoencoder, with mixed noise levels.

    python -m training.train_video walks=runs/walks/labmaze checkpoint=labmaze out=RUN seconds=7200
    python -m training.train_video data=DIR held_out=DIR autoencoder=RUN/autoencoder.safetensors out=RUN seconds=3600

The first is diffusion forcing on latents of walks (`training.collect_walks`), for every method and every memory at once
(:mod:`training.objectives.forcing`). Autoencoder, statistics of actions and, where both have the same part, the weights
of the generator come from ``checkpoint``, a world model; of the walks only frames and actions are used. SIGTERM saves
and ends; the same command goes on, with more ``seconds`` also a run that has ended.

The second is on recorded episodes, for any denoiser and autoencoder, one memory at a time.

The defaults are the paper's recipe (section 6.1.1: v prediction, fused SNR with decay 0.96, Adam, clipping at 1.0,
noise clipped at 6.0). `model.memory.way=channel model.memory.compressor=modulated`, `model.denoiser=unet3d` and so on
choose the variant. One run serves every method: `run_demo.py method=NAME --checkpoint RUN/checkpoint`.
`init=CHECKPOINT` begins from all weights of another checkpoint that have the same name and shape. The same command
after a kill goes on. `autoencoder=sd3:SOURCE` takes the paper's latents, the stable-diffusion-3 VAE (extra sd3).
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import MISSING
from torch import Tensor, nn

from training.data.clips import ClipConfig, draw
from training.data.episodes import LatentEpisode, action_statistics, encode_both, latents_of, open_both
from training.data.evidence_clips import prefetched
from training.data.sequences import Sequence, Sequences
from training.data.walks import read
from training.loop.claim import claim
from training.loop.fast import FastRun, Rates, told_to_end
from training.loop.fit import fit, publish
from training.loop.launch import launch
from training.loop.train import LoopConfig, OptimizerConfig
from training.objectives import forcing
from training.objectives.forcing import Forcing, ForcingConfig
from training.objectives.video_model import VideoObjective, VideoObjectiveConfig, draw_setting
from worldsim import checkpoint
from worldsim.checkpoint import CheckpointError, Loaded, load_autoencoder, resolve, weights
from worldsim.cli.command import command
from worldsim.config import AutoencoderConfig, load
from worldsim.models.autoencoders.conv import ConvAutoencoder
from worldsim.models.autoencoders.sd3 import Sd3Autoencoder
from worldsim.models.denoisers.forcing_dit import ForcingDiT
from worldsim.models.denoisers.generator import embed
from worldsim.models.memory.variants.protocol import MemoryVariantConfig
from worldsim.models.video_model import SD3, VideoModel, VideoModelConfig
from worldsim.models.world_model import WorldModel


@dataclass
class Config(LoopConfig):
    autoencoder: str = MISSING
    init: str = ""
    clip: ClipConfig = field(
        default_factory=lambda: ClipConfig(
            batch=4, pasts=(0, 16, 48, 64), past_odds=(0.1, 0.3, 0.4, 0.2), dreamt_odds=0.0
        )
    )
    objective: VideoObjectiveConfig = field(default_factory=VideoObjectiveConfig)
    model: VideoModelConfig = field(default_factory=VideoModelConfig)
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(lr=5e-4, weight_decay=0.0, betas=(0.9, 0.999))
    )


def open_autoencoder(word: str) -> tuple[ConvAutoencoder | Sd3Autoencoder, AutoencoderConfig]:
    """The trained autoencoder of a file, or the stable-diffusion-3 VAE of ``sd3:SOURCE``.

    Raises:
        CheckpointError, Sd3Error: it is not there or not whole.
    """
    if word.startswith(SD3):
        vae = Sd3Autoencoder.load(word.removeprefix(SD3))
        return vae, AutoencoderConfig(channels=vae.channels)
    return load_autoencoder(Path(word))


def begin_from(model: VideoModel, name_or_path: str) -> int:
    """Take over every weight of another checkpoint that has the same name and shape; how many there were.

    Raises:
        CheckpointError: no such checkpoint, or nothing in it fits.
    """
    mine = model.state_dict()
    own = ("autoencoder.", "action_mean", "action_std")
    fitting = {
        k: v
        for k, v in weights(resolve(name_or_path)).items()
        if k in mine and v.shape == mine[k].shape and not k.startswith(own)
    }
    if not fitting:
        raise CheckpointError(f"init={name_or_path}: none of its weights fit this model; leave init out")
    model.load_state_dict(mine | fitting)
    return len(fitting)


HELD_OUT_SEED, HELD_OUT_BATCHES = 7, 16
FACTS = ("env_id", "env_version", "family", "backend", "action_spec")


@dataclass
class WalksConfig(LoopConfig):
    """``checkpoint``: a world model, whose autoencoder the latents of ``walks`` are of; the last ``held_out_walks`` of
    them are not trained on. ``init``: another video model to begin from, weight by weight."""

    data: str = ""
    walks: str = MISSING
    checkpoint: str = MISSING
    init: str = ""
    held_out_walks: int = 16
    compile: bool = True
    forcing: ForcingConfig = field(default_factory=ForcingConfig)
    rates: Rates = field(default_factory=Rates)
    model: VideoModelConfig = field(
        default_factory=lambda: VideoModelConfig(
            process="rectified_flow",
            prediction="x0",
            denoiser="forcing_dit",
            causal=True,
            memory=MemoryVariantConfig(compressor="joint", travel=True),
            more_memories=["channel/modulated", "cross_attention/none"],
        )
    )


def continued(loaded: Loaded[WorldModel], config: VideoModelConfig) -> VideoModel:
    """A video model over a world model's autoencoder, with the weights of its generator where both have the same part.

    Of what the generator was told only actions are left: no picture of memory, no motion, no step size.
    """
    world = loaded.model
    c = replace(config, size=world.config.size, autoencoder=world.config.autoencoder)
    model = VideoModel(replace(c, action_dim=world.config.action_dim))
    model.autoencoder.load_state_dict(world.autoencoder.state_dict())
    for parameter in model.autoencoder.parameters():
        parameter.requires_grad_(False)
    model.action_mean.copy_(world.action_mean)
    model.action_std.copy_(world.action_std)
    if world.config.generates and isinstance(model.denoiser, ForcingDiT):
        mine, theirs = model.denoiser.state_dict(), world.generator.state_dict()
        fitting = {k: v for k, v in theirs.items() if k in mine and v.shape == mine[k].shape}
        # Latents come before pictures, and actions before motions.
        shared = {"token_in.weight": model.denoiser.channels * c.forcing_dit.patch**2}
        shared["control.0.weight"] = world.config.action_dim
        for name, count in shared.items():
            if len(theirs[name]) == len(mine[name]):
                fitting[name] = torch.zeros_like(mine[name])
                fitting[name][:, :count] = theirs[name][:, :count]
        if "level.2.bias" in fitting:
            with torch.no_grad():  # no step size is asked for, ever: what that adds is constant
                constant = world.generator.stride(embed(torch.zeros(())))
                fitting["level.2.bias"] = fitting["level.2.bias"] + constant
        mine |= fitting
        model.denoiser.load_state_dict(mine)
    return model


def on_walks(config: WalksConfig) -> int:
    """Train on walks, publish."""
    accelerator = launch(config, partial=True)
    torch.set_flush_denormal(True)
    loaded = checkpoint.load(config.checkpoint)
    model = continued(loaded, config.model)
    if config.init:
        begin_from(model, config.init)
    shards = read(Path(config.walks), latents_of(loaded.model.autoencoder))
    known, held = Sequences(shards, last=-config.held_out_walks), Sequences(shards, -config.held_out_walks)
    objective = Forcing(model.to(accelerator.device), config.forcing)
    main, rank = accelerator.is_main_process, accelerator.process_index
    wrapped = accelerator.prepare(objective)
    if config.compile and isinstance(model.denoiser, ForcingDiT):
        torch._dynamo.config.recompile_limit = 64  # one program for each length of sequence
        model.denoiser.run_block = torch.compile(model.denoiser.run_block, dynamic=False)

    def drawn(source: Sequences, seed: int, step: int) -> tuple[Sequence, forcing.Setting, forcing.Draw]:
        setting = forcing.draw_setting(config.forcing, objective.kinds, seed, step)
        sequence = source.draw(seed, step, setting.batch, setting.length, rank)
        numbers = forcing.draw(config.forcing, setting, sequence.latents.shape, seed, step, rank)
        return sequence, setting, numbers

    def losses_of(
        batch: tuple[Sequence, forcing.Setting, forcing.Draw], module: nn.Module
    ) -> dict[str, Tensor]:
        sequence, setting, numbers = batch
        with accelerator.autocast():
            losses: dict[str, Tensor] = module(
                sequence.to(accelerator.device), setting, numbers.to(accelerator.device)
            )
        return losses

    with claim(Path(config.out)) if main else nullcontext(), told_to_end():
        run = FastRun(config, config.rates, objective, accelerator, "model.denoiser.blocks.")
        batches = prefetched(lambda step: drawn(known, config.seed, step), run.counters["step"], 2)

        def next_losses(step: int) -> tuple[dict[str, Tensor], int]:
            batch = next(batches)
            return losses_of(batch, wrapped), batch[1].batch * batch[1].length

        try:
            run.train(next_losses)
        finally:
            batches.close()  # type: ignore[attr-defined]
    if main:
        with torch.no_grad():
            found: dict[str, list[float]] = {}
            for i in range(HELD_OUT_BATCHES):
                for name, value in losses_of(drawn(held, HELD_OUT_SEED, i), objective).items():
                    found.setdefault(name, []).append(float(value))
        steps, spent = run.counters["step"], round(run.counters["seconds"])
        result: dict[str, Any] = {"steps": steps, "seconds": spent, "walks": len(known)}
        result["frames"] = run.counters["frames"]
        result["held_out"] = {k: round(sum(v) / len(v), 5) for k, v in found.items()}
        meta = {k: getattr(loaded.description, k) for k in FACTS}
        publish(config.out, model.cpu(), meta, result)
    return 0


@command
def main(args: list[str]) -> int:
    """Parse, train, publish."""
    if any(word.startswith("walks=") for word in args):
        return on_walks(load(WalksConfig, args))
    config = load(Config, args)
    # A step without references, or with uncompressed ones, leaves parts of the memory out.
    accelerator = launch(config, partial=True)
    autoencoder, autoencoder_config = open_autoencoder(config.autoencoder)
    autoencoder.to(accelerator.device)
    sources, held = open_both(config.data, config.held_out)
    meta = sources[0].meta
    out = Path(config.out)
    episodes, held_out = encode_both((sources, held), autoencoder, out / "latents", accelerator)
    shape = config.model
    shape.size, shape.autoencoder = int(meta["size"]), autoencoder_config
    if config.autoencoder.startswith(SD3):
        shape.latents = config.autoencoder
    shape.action_dim = episodes[0].actions.shape[1]
    model = VideoModel(shape)
    model.autoencoder.load_state_dict(autoencoder.state_dict())
    for parameter in model.autoencoder.parameters():
        parameter.requires_grad_(False)
    model.action_mean, model.action_std = action_statistics(episodes)
    if config.init:
        begin_from(model, config.init)
    objective = VideoObjective(model, config.objective)

    def losses_on(source: list[LatentEpisode], module: nn.Module, seed: int, step: int) -> dict[str, Tensor]:
        clip, noise = draw(source, config.clip, seed, step, accelerator.process_index, accelerator.device)
        setting = draw_setting(config.objective, clip.past_latents.shape[1], seed, step)
        with accelerator.autocast():
            losses: dict[str, Tensor] = module(clip, noise, setting)
        return losses

    both = (episodes, held_out)
    ema, result = fit(objective, losses_on, both, config, config.optimizer, accelerator)
    if accelerator.is_main_process:
        publish(config.out, ema.model, meta, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
