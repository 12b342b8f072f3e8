"""Train the generator of a checkpoint on walks: python -m training.train_generator checkpoint=blocks walks=DIR out=RUN

    python -m training.collect_walks checkpoint=blocks out=runs/walks/blocks episodes=1200
    python -m training.train_generator checkpoint=blocks walks=runs/walks/blocks out=runs/generator_blocks seconds=7200

Latents, distances and poses come from the walks; only the generator learns. The same command after a kill goes on where
it stopped; with more ``seconds`` (of training, pauses left out) a run that has ended goes on too. Ends by writing
RUN/checkpoint, the checkpoint given with the generator in it, which `run_demo.py --checkpoint RUN/checkpoint` plays.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from accelerate import Accelerator
from omegaconf import MISSING
from torch import Tensor, nn

from training.data.bodies import embody
from training.data.dreamt_latents import dreamt_latents
from training.data.episodes import latents_of
from training.data.evidence_clips import ClipConfig, Clips, GeneratorClips, covered
from training.data.prefetch import ahead
from training.data.redrawn_evidence import RedrawnEvidence
from training.data.walks import Walks, read
from training.loop.fast import Muon, Rates
from training.loop.finetune import publish_part
from training.loop.fit import HELD_OUT_SEED, mean_losses
from training.loop.launch import launch
from training.loop.mirror import mirrored
from training.loop.train import LoopConfig, run
from training.objectives.generation import STRIDES, EvidenceOf, Generation, GenerationConfig, draw
from worldsim import checkpoint
from worldsim.checkpoint import Loaded
from worldsim.cli.command import command
from worldsim.config import ConfigError, GeneratorConfig, load
from worldsim.models.denoisers.generator import Generator
from worldsim.models.world_model import WorldModel


@dataclass
class Config(LoopConfig):
    data: str = ""
    checkpoint: str = MISSING
    walks: str = MISSING
    held_out_walks: int = 16
    compile: bool = True
    clip: ClipConfig = field(default_factory=ClipConfig)
    generation: GenerationConfig = field(default_factory=GenerationConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    rates: Rates = field(default_factory=Rates)


def with_generator(loaded: Loaded[WorldModel], config: GeneratorConfig) -> Loaded[WorldModel]:
    """The checkpoint with a generator: its own, where it has one of this shape, or a new one."""
    old = loaded.model
    shape = replace(old.config.generator, strides=config.strides, context_level=config.context_level)
    if old.config.generates and shape == config:
        old.config.generator.context_level = config.context_level
        return loaded
    model = WorldModel(replace(old.config, generates=True, generator=config, free_running=False))
    kept = {
        k: v
        for k, v in old.state_dict().items()
        if k in model.state_dict() and not k.startswith("generator.")
    }
    model.load_state_dict(model.state_dict() | kept)
    return Loaded(model, loaded.description, loaded.path)


def lost_views(config: Config, shards: list[Walks]) -> Tensor | None:
    """The views (N, C, h, w) that rows fade to, if any are to.

    Raises:
        ConfigError: ``lost_rows`` without ``lost``, the other way round, or more of them than ``reshown``.
        DataError: the file holds none of this shape.
    """
    share, file = config.generation.lost_rows, config.generation.lost
    if bool(share) != bool(file):
        raise ConfigError(
            f"generation: expected both lost_rows and lost or neither, found lost_rows={share} lost={file or 'nothing'}"
        )
    if share > config.generation.reshown:
        raise ConfigError(
            f"generation.lost_rows: expected at most reshown={config.generation.reshown}, of which they are a part, "
            f"found {share}"
        )
    if not file:
        return None
    like = torch.from_numpy(np.asarray(shards[0].latents[0, 0], np.float32))
    return torch.from_numpy(np.array(dreamt_latents("generation.lost", file, like), np.float32))


class Batches:
    """This process's share of the batch of a step, and its losses."""

    def __init__(
        self,
        generator: Generator,
        config: Config,
        accelerator: Accelerator,
        evidence_of: EvidenceOf | None = None,
        lost: Tensor | None = None,
    ) -> None:
        self.config, self.accelerator, self.evidence_of = config.generation, accelerator, evidence_of
        self.objective = Generation(generator, config.generation, lost)

    def losses(
        self, module: nn.Module, clips: GeneratorClips, step: int, seed: int, strided: bool = False
    ) -> dict[str, Tensor]:
        """On one batch, with noise of its own seed; ``strided``: whether some rows ask for few steps."""
        device = self.accelerator.device
        g = torch.Generator().manual_seed((seed * 1_000_003 + step) * 64 + self.accelerator.process_index)
        d = draw(clips.latents.shape, self.config, strided, g)
        clips, d = clips.to(device), d.to(device)
        with self.accelerator.autocast():
            drawn, redrawn = None, self.objective.redrawn(clips, d, self.evidence_of)
            if redrawn is not None:
                drawn, shown = redrawn
                evidence = torch.cat([clips.evidence[: -len(shown)], shown])
                clips = replace(clips, evidence=evidence, covered=covered(evidence))
            out: dict[str, Tensor] = module(replace(clips, sources=()), d, drawn)
        return out

    @torch.no_grad()
    def held_out(self, clips: Clips, batches: int = 8) -> dict[str, float]:
        """Mean losses on walks that were not trained on, the same for every run."""
        drawn = [clips.batch(HELD_OUT_SEED, i) for i in range(batches)]
        return mean_losses(
            [self.losses(self.objective, batch, i, HELD_OUT_SEED) for i, batch in enumerate(drawn)]
        )


@command
@mirrored
def main(args: list[str]) -> int:
    """Parse, train, publish."""
    config = load(Config, args)
    accelerator = launch(config)
    loaded = with_generator(checkpoint.load(config.checkpoint), config.generator)
    embody(loaded)
    model = loaded.model
    shards = read(config.walks, latents_of(model.autoencoder))
    clips = Clips(shards, model, config.clip)
    others = Clips(shards, model, config.clip)
    held = min(config.held_out_walks, max(1, len(clips) // 4))  # of a handful of walks most are to learn from
    clips.keep(clips.episodes[:-held] or clips.episodes)
    others.keep(others.episodes[-held:])
    generator = model.generator.to(accelerator.device)
    for shows in (model.autoencoder, *([model.pixels] if model.config.pixels else [])):
        shows.to(accelerator.device)
    batches = Batches(generator, config, accelerator, RedrawnEvidence(clips), lost_views(config, shards))
    module = accelerator.prepare(batches.objective)
    if config.compile:
        module = torch.compile(module, dynamic=False)
        redraw = torch.compile(batches.objective.drawn_anew, dynamic=False)
        batches.objective.drawn_anew = redraw  # type: ignore[method-assign]
    learner = Muon(generator, config.rates, {"generator": generator})
    frames = config.clip.batch * config.clip.length * accelerator.num_processes
    with ahead(lambda step: clips.batch(config.seed, step, accelerator.process_index)) as batch_of:

        def losses_of(step: int, progress: float) -> dict[str, Tensor]:
            learner.counters["frames"] = (step + 1) * frames
            strided = progress >= config.generation.strided_from
            return batches.losses(module, batch_of(step), step, config.seed, strided)

        run(learner, losses_of, config, accelerator, lines=True)
    learner.take_average()
    if accelerator.is_main_process:
        steps, seconds = learner.counters["step"], round(learner.counters["seconds"])
        result = {"steps": steps, "seconds": seconds, "walks": len(clips)}
        result["held_out"] = batches.held_out(others)
        model.cpu()
        loaded.description.training.pop("rollout", None)  # of a second denoiser, which is no more
        if config.generation.strided and config.generation.strided_from < 1:
            model.config.generator.strides = list(STRIDES)
        publish_part(config.out, loaded, "generator", result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
