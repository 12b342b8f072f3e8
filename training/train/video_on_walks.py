"""Train one video model for every method and every memory on walks, by diffusion forcing.

    python -m training.collect_walks checkpoint=labmaze out=runs/walks/labmaze episodes=480
    python -m training.train_video walks=runs/walks/labmaze checkpoint=labmaze out=RUN seconds=7200

What a step draws and minimises is in :mod:`training.objectives.forcing`. Autoencoder, statistics of actions and, where
both have the same part, the weights of the generator come from ``checkpoint``, a world model; of the walks only frames
and actions are used, neither poses nor pixels of memory. SIGTERM saves and ends; the same command goes on where it
stopped, with more ``seconds`` also a run that has ended. Ends by writing RUN/checkpoint, the averaged weights, which
`run_demo.py method=NAME --checkpoint RUN/checkpoint` plays.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from accelerate import Accelerator
from omegaconf import MISSING
from torch import Tensor, nn

from training.data.episodes import DataError, latents_of
from training.data.prefetch import ahead
from training.data.sequences import Sequence, Sequences
from training.data.walks import read
from training.loop.fast import Muon, Rates
from training.loop.fit import HELD_OUT_SEED, mean_losses, publish
from training.loop.launch import launch
from training.loop.mirror import mirrored
from training.loop.train import LoopConfig, run
from training.objectives import forcing
from training.objectives.forcing import Forcing, ForcingConfig
from worldsim import checkpoint
from worldsim.checkpoint import Loaded
from worldsim.cli.command import command
from worldsim.config import load
from worldsim.models.denoisers.forcing_dit import ForcingDiT, ForcingDiTConfig
from worldsim.models.denoisers.generator import embed
from worldsim.models.geometry import TURN_UNIT
from worldsim.models.memory.variants.protocol import MemoryVariantConfig
from worldsim.models.odometry import Odometry
from worldsim.models.video_model import VideoModel, VideoModelConfig
from worldsim.models.world_model import WorldModel

HELD_OUT_BATCHES = 16
HARMONICS = (1, 2, 3, 4, 5, 6, 8, 10)
"""Of the heading: together they tell views apart by less than what a picture shows."""
FACTS = ("env_id", "env_version", "family", "backend", "action_spec")
BLOCKS = tuple(f"model.denoiser.{part}." for part in ("blocks", "down", "middle", "up"))
"""Of transformers, and the stages of a U-Net."""

Batch = tuple[Sequence, forcing.Setting, forcing.Draw]


@dataclass
class Config(LoopConfig):
    """``checkpoint``: a world model, whose autoencoder the latents of ``walks`` are of; the last ``held_out_walks`` of
    them are not trained on. ``fresh``: begin with nothing of its generator. ``init``: a video model over the same
    autoencoder, whose weights are gone on from where it has them. ``returning``: share of the stretches that end with a
    view that comes back. Where some of its attention is ``timeless``, half of the heads begin by looking where one
    looked the same way, as far as actions tell."""

    data: str = ""
    walks: str = MISSING
    checkpoint: str = MISSING
    fresh: bool = False
    init: str = ""
    returning: float = 0.6
    held_out_walks: int = 16
    compile: bool = True
    forcing: ForcingConfig = field(default_factory=ForcingConfig)
    rates: Rates = field(default_factory=Rates)
    model: VideoModelConfig = field(
        default_factory=lambda: VideoModelConfig(
            process="rectified_flow",
            prediction="x0",
            denoiser="forcing_dit",
            forcing_dit=ForcingDiTConfig(timeless=0.5),
            causal=True,
            memory=MemoryVariantConfig(compressor="joint", travel=True),
            more_memories=["channel/modulated", "cross_attention/none"],
        )
    )


def continued(loaded: Loaded[WorldModel], config: VideoModelConfig, fresh: bool = False) -> VideoModel:
    """A video model over a world model's autoencoder, with the weights of its generator where both have the same part,
    unless it is to begin ``fresh``.

    Of what steers the generator only actions are left: no picture of memory, no motion, no step size.
    """
    world = loaded.model
    c = replace(config, size=world.config.size, autoencoder=world.config.autoencoder)
    model = VideoModel(replace(c, action_dim=world.config.action_dim))
    model.autoencoder.load_state_dict(world.autoencoder.state_dict())
    model.autoencoder.requires_grad_(False)
    model.action_mean.copy_(world.action_mean)
    model.action_std.copy_(world.action_std)
    if world.config.generates and isinstance(model.denoiser, ForcingDiT) and not fresh:
        mine, theirs = model.denoiser.state_dict(), world.generator.state_dict()
        fitting = {k: v for k, v in theirs.items() if k in mine and v.shape == mine[k].shape}
        # Latents come before pictures, and actions before motions; what memory puts beside latents is read at random
        # first: it is nothing at the start, and nothing read by nothing would never learn.
        shared = {"token_in.weight": model.denoiser.channels * c.forcing_dit.patch**2}
        shared["control.0.weight"] = world.config.action_dim
        for name, count in shared.items():
            if len(theirs[name]) == len(mine[name]) and not (world.config.generator.stem and "token" in name):
                fitting[name] = mine[name].clone()
                fitting[name][:, :count] = theirs[name][:, :count]
        if "level.2.bias" in fitting:
            with torch.no_grad():  # no step size is asked for, ever: what that adds is constant
                constant = world.generator.stride(embed(torch.zeros(())))
                fitting["level.2.bias"] = fitting["level.2.bias"] + constant
        model.denoiser.load_state_dict(mine | fitting)
    return model


def take_weights(model: VideoModel, init: str) -> bool:
    """Give a video model the weights of another one, of all that both have; what its memories put beside latents it
    reads as it did.

    Returns:
        Whether how its heads turn is learned already, by a model with as many timeless pairs.

    Raises:
        DataError: it is over another autoencoder.
    """
    other = checkpoint.load_video(init).model
    if latents_of(other.autoencoder) != latents_of(model.autoencoder):
        raise DataError(f"expected init={init} to be over the autoencoder of checkpoint, found another one")
    mine, theirs = model.state_dict(), other.state_dict()
    fitting = {k: v for k, v in theirs.items() if k in mine and v.shape == mine[k].shape}
    tokens = "denoiser.token_in.weight"
    if tokens in theirs and tokens not in fitting and len(theirs[tokens]) == len(mine[tokens]):
        count = min(theirs[tokens].shape[1], mine[tokens].shape[1])
        fitting[tokens] = mine[tokens].clone()
        fitting[tokens][:, :count] = theirs[tokens][:, :count]
    model.load_state_dict(mine | fitting)
    pairs = [m.config.forcing_dit.timeless_pairs for m in (other, model)]
    return "denoiser.turning" in fitting and pairs[0] == pairs[1]


@torch.no_grad()
def look_by_heading(denoiser: ForcingDiT, odometry: Odometry) -> None:
    """Let the second half of the heads turn what time does not by harmonics of the heading that actions add up to."""
    heads, count = denoiser.config.heads, denoiser.config.timeless_pairs
    turn = odometry.turns[0, :-1] * math.radians(TURN_UNIT)  # of each action, radians
    harmonics = torch.tensor(HARMONICS, dtype=turn.dtype).repeat(count // len(HARMONICS) + 1)
    denoiser.turning[heads // 2 :, -count:] = harmonics[:count, None] * turn


class Batches:
    """Draws this process's share of the batch of a step, and computes its losses."""

    def __init__(self, objective: Forcing, accelerator: Accelerator) -> None:
        self.objective, self.accelerator = objective, accelerator

    def draw(self, source: Sequences, config: ForcingConfig, seed: int, step: int) -> Batch:
        """Frames, setting and random numbers of a step."""
        rank = self.accelerator.process_index
        setting = forcing.draw_setting(config, self.objective.kinds, seed, step)
        sequence = source.draw(seed, step, setting.batch, setting.length, rank, setting.kept, setting.last)
        return sequence, setting, forcing.draw(config, setting, sequence.latents.shape, seed, step, rank)

    def losses(self, batch: Batch, module: nn.Module) -> dict[str, Tensor]:
        """By name."""
        (sequence, setting, numbers), device = batch, self.accelerator.device
        with self.accelerator.autocast():
            losses: dict[str, Tensor] = module(sequence.to(device), setting, numbers.to(device))
        return losses

    @torch.no_grad()
    def held_out(self, source: Sequences) -> dict[str, float]:
        """Mean losses on walks that were not trained on, over true frames, the same for every run."""
        config = replace(self.objective.config, redrawn=0.0)
        batches = [self.draw(source, config, HELD_OUT_SEED, i) for i in range(HELD_OUT_BATCHES)]
        return mean_losses([self.losses(batch, self.objective) for batch in batches])


@command
@mirrored
def main(args: list[str]) -> int:
    """Parse, train, publish."""
    config = load(Config, args)
    accelerator = launch(config, partial=True)  # a step leaves the other memories out
    loaded = checkpoint.load(config.checkpoint)
    shards = read(config.walks, latents_of(loaded.model.autoencoder))
    held = -config.held_out_walks
    known = Sequences(shards, 0, held, config.returning)
    others = Sequences(shards, held, None, config.returning)
    model = continued(loaded, config.model, config.fresh)
    turns = take_weights(model, config.init) if config.init else False
    if (
        not turns
        and isinstance(model.denoiser, ForcingDiT)
        and model.denoiser.travels
        and model.denoiser.config.timeless_pairs
    ):
        look_by_heading(model.denoiser, loaded.model.odometry)
    model = model.to(accelerator.device)
    objective = Forcing(model, config.forcing)
    batches, wrapped = Batches(objective, accelerator), accelerator.prepare(objective)
    if config.compile and isinstance(model.denoiser, ForcingDiT):
        torch._dynamo.config.recompile_limit = 64  # one program for each length of sequence
        model.denoiser.run_block = torch.compile(model.denoiser.run_block, dynamic=False)
    learner = Muon(objective, config.rates, blocks=BLOCKS)
    with ahead(lambda step: batches.draw(known, config.forcing, config.seed, step)) as batch_of:

        def losses_of(step: int, _: float) -> dict[str, Tensor]:
            batch: Batch = batch_of(step)
            frames = batch[1].batch * batch[1].length
            learner.counters["frames"] += frames * accelerator.num_processes
            return batches.losses(batch, wrapped)

        run(learner, losses_of, config, accelerator, lines=True)
    learner.take_average()
    if accelerator.is_main_process:
        steps, seconds = learner.counters["step"], round(learner.counters["seconds"])
        result: dict[str, Any] = {"steps": steps, "seconds": seconds, "frames": learner.counters["frames"]}
        result |= {"walks": len(known), "held_out": batches.held_out(others)}
        facts = {name: getattr(loaded.description, name) for name in FACTS}
        publish(config.out, model.cpu(), facts, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
