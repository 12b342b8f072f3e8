"""Train memory, denoiser and odometry on recorded episodes, over a trained autoencoder.

    python -m training.train_denoiser data=DIR held_out=DIR autoencoder=RUN/autoencoder.safetensors out=RUN seconds=3600

The same command after a kill goes on where it stopped. Ends by writing RUN/checkpoint, which `run_demo.py
--checkpoint RUN/checkpoint` plays. `torchrun --nproc_per_node N -m training.train_denoiser ...` runs it on N processes,
each with clip.batch and reads.batch rows. Where the episodes tell no pose the model's camera stands still: memory then
holds what was seen in the same part of the picture. `init=CHECKPOINT` begins from the weights of another checkpoint,
for instance one over an earlier version of the autoencoder; the autoencoder itself and the action statistics are this
run's own.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from omegaconf import MISSING
from torch import Tensor, nn

from envs.episodes.episode import Episode
from training.data.clips import ClipConfig, draw
from training.data.episodes import LatentEpisode, long_enough, open_both
from training.data.returning_views import ReadsConfig, draw_reads, readable
from training.loop.adamw import OptimizerConfig
from training.loop.encode import encode_both
from training.loop.fit import begin_over, fit, publish
from training.loop.launch import launch
from training.loop.mirror import mirrored
from training.loop.trackers import Writer
from training.loop.train import LoopConfig
from training.objectives.odometry import fit_turns, measure_drift
from training.objectives.world_model import Objective, ObjectiveConfig
from worldsim.checkpoint import (
    CheckpointError,
    Description,
    Loaded,
    LoadedModel,
    load_autoencoder,
    mismatch,
)
from worldsim.checkpoint import load as load_checkpoint
from worldsim.cli.command import command
from worldsim.config import DenoiserConfig, DreamConfig, MemoryConfig, ModelConfig, load
from worldsim.dream.world import DreamEnv
from worldsim.models.world_model import WorldModel


@dataclass
class Config(LoopConfig):
    """``held_out_batches`` are what the losses that are told at the end are means of."""

    autoencoder: str = MISSING
    init: str = ""
    held_out_batches: int = 8
    clip: ClipConfig = field(default_factory=ClipConfig)
    reads: ReadsConfig = field(default_factory=ReadsConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)


def begin_from(model: WorldModel, name_or_path: str) -> None:
    """Take over the weights of a checkpoint, but for its autoencoder, action statistics, second denoiser and pixels.

    Raises:
        CheckpointError: no such checkpoint, or one of another shape.
    """
    other = load_checkpoint(name_or_path).model
    kept = ("autoencoder.", "action_mean", "action_std", "free_running.", "pixels.")
    weights = {k: v for k, v in other.state_dict().items() if not k.startswith(kept)}
    try:
        model.load_state_dict(model.state_dict() | weights)
    except RuntimeError as error:
        raise CheckpointError(f"init={name_or_path} does not fit this model: {mismatch(error)}") from None


def _dreamt(loaded: LoadedModel, episode: Episode, context: int = 64, ahead: int = 16) -> np.ndarray:
    """A picture for the eye: true frames above frames dreamt blind after ``context`` true ones."""
    first = max(1, min(context, len(episode) - ahead))
    true, actions = episode.frames(0, len(episode)), list(episode.action_vectors())
    dream = DreamEnv(loaded)
    dream.reset(seed=0, options={"frames": true[:first], "actions": actions[: first - 1]})
    dreamt = [dream.step(action)[0] for action in actions[first - 1 : first - 1 + ahead]]
    return np.concatenate(
        [np.concatenate(list(row), 1) for row in (true[first : first + len(dreamt)], dreamt)]
    )


@command
@mirrored
def main(args: list[str]) -> int:
    config = load(Config, args)
    # A batch without a past leaves the compressor out.
    accelerator = launch(config, partial=True)
    autoencoder, autoencoder_config = load_autoencoder(config.autoencoder)
    autoencoder.to(accelerator.device)
    both_sources = open_both(config.data, config.held_out)
    sources, held_sources = long_enough(both_sources, config.clip.length + 1, config.data)
    meta = sources[0].meta
    out = Path(config.out)
    episodes, held_out = encode_both(
        (sources, held_sources), autoencoder, config.encoded, accelerator, config
    )
    model_config = ModelConfig(
        size=int(meta["size"]),
        fov=float(meta["fov"] or ModelConfig.fov),
        posed=episodes[0].poses is not None,
        action_dim=episodes[0].actions.shape[1],
        autoencoder=autoencoder_config,
        denoiser=config.denoiser,
        memory=config.memory,
        dream=DreamConfig(context_level=config.objective.context_noise),
    )
    model = WorldModel(model_config)
    begin_over(model, autoencoder, episodes)
    if config.init:
        begin_from(model, config.init)
    fit_turns(model, episodes)
    objective = Objective(model, config.objective)

    def losses_on(source: list[LatentEpisode], module: nn.Module, seed: int, step: int) -> dict[str, Tensor]:
        process, device = accelerator.process_index, accelerator.device
        clip, noise = draw(source, config.clip, seed, step, process, device)
        reads = None
        if config.reads.batch and readable(source):
            reads = draw_reads(model, source, config.reads, seed, step, process).to(device)
        with accelerator.autocast():
            losses: dict[str, Tensor] = module(clip, noise, reads=reads)
        return losses

    def log_images(ema: Objective, writer: Writer, step: int) -> None:
        loaded = Loaded(ema.model, Description(action_spec=meta["action_spec"]), out)
        picture = _dreamt(loaded, held_sources[0])
        writer.add_image("held_out/true_above_dreamt", picture, step, dataformats="HWC")

    both = (episodes, held_out)
    ema, result = fit(
        objective, losses_on, both, config, config.optimizer, accelerator, config.held_out_batches, log_images
    )
    if accelerator.is_main_process:
        ema.model.cpu()
        measure_drift(ema.model, held_out)
        publish(config.out, ema.model, meta, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
