"""Train a checkpoint's denoiser to hold when it is left alone: on long dreams of its own, against an adversary.

    python -m training.train_rollout data=DIR checkpoint=NAME_OR_PATH out=RUN seconds=3600

What is true of a world that nobody has seen yet cannot be known, so the squared error asks a dream that walks on for
the mean of all that might be there: every frame loses a little, and the next one builds on it. Here the model is left
alone on recorded actions every few steps (:mod:`training.rollouts`); frames that it denoises over such a past, as many
steps a frame as in play, must pass an adversary that sees the latents of true frames and these (hinge losses), and no
colour may creep (:mod:`training.drift`). On true clips the losses of `training.train_denoiser` go on, so that what can
be known is kept.

What passes for true is sharper, and a little farther from the truth where that is known. So it has to pass only where
memory knows little of what is there (:mod:`training.doubt`), and this becomes a second denoiser, which takes over after
``alone_after`` frames of a dream's own (0: as many as the checkpoint says), and nothing else is changed. Writes
RUN/checkpoint. The same command after a kill goes on where it stopped, over new dreams; with another ``alone_after`` a
run that is at its end writes just that. Other trainings come before this one: they
keep the second denoiser as it is, or leave it out (`training.train_denoiser`).
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import MISSING
from torch import Tensor, nn

from training.cli import command
from training.clips import Clip, ClipConfig, RowNoise, batch, draw
from training.dataset import LatentEpisode, open_episodes
from training.discriminator import hinge
from training.doubt import Doubt
from training.drift import pull, variance
from training.fit import HELD_OUT_SEED, mean_losses
from training.latent_discriminator import LatentDiscriminator, evidence, roughness
from training.launch import launch
from training.loop import LoopConfig, OptimizerConfig, train
from training.objective import Objective, ObjectiveConfig
from training.part import encoded, save_part
from training.rollouts import RolloutConfig, Rollouts
from worldsim import checkpoint
from worldsim.checkpoint import Loaded
from worldsim.config import load
from worldsim.imagine import within_the_data
from worldsim.schedules import next_frame, path
from worldsim.world_model import WorldModel

SPREAD_OVER = 64
"""Episodes over which the spread of true frames is measured."""

DOUBT_RATE = 20.0
"""How many times as fast as the denoiser the doubt learns: it is small, begins from random weights and is soon done."""

OF_TRUE, OF_OWN = 1, 2
"""What tells the clips that the adversary compares from those of the objective, beside the seed."""


@dataclass
class AdversaryConfig:
    """``weight`` of passing it: its gradient at the denoiser's last layer, over that of the other losses.

    ``drift`` weighs what takes back how far a dream as a whole has drifted (:mod:`training.drift`), beside passing. At
    1 it pulls up to three times as hard, where colours are a deviation off, and pictures fall apart (training/LOG.md,
    13). ``smooth`` weighs the adversary's :func:`roughness`. It learns ``rate`` times as fast as the denoiser, from
    random weights, and alone in the first ``head_start`` steps. After them it takes ``ahead`` steps alone for each that
    they take together: such steps are cheap, and one that is left behind cannot tell what is wrong.
    """

    weight: float = 0.5
    drift: float = 0.1
    smooth: float = 0.03
    rate: float = 4.0
    head_start: int = 100
    ahead: int = 1
    width: int = 48
    batch: int = 6


@dataclass
class Config(LoopConfig):
    checkpoint: str = MISSING
    alone_after: int = 0
    clip: ClipConfig = field(default_factory=lambda: ClipConfig(batch=4))
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    adversary: AdversaryConfig = field(default_factory=AdversaryConfig)
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(lr=5e-4, warmup=20, ema=0.985))


class Alone(nn.Module):
    """A world model and its adversary with their losses; ``forward`` is what a distributed launcher wraps.

    ``spread`` is the :func:`training.drift.variance` of true frames.
    """

    spread: Tensor

    def __init__(self, model: WorldModel, config: Config, spread: Tensor) -> None:
        super().__init__()
        self.register_buffer("spread", spread, persistent=False)
        self.objective = Objective(model, config.objective)
        channels = model.config.autoencoder.channels
        self.judge = LatentDiscriminator(channels, config.adversary.width)
        self.doubt = Doubt(channels + model.config.memory.width // 2)
        self.adversary, self.steps = config.adversary, config.rollout.denoising_steps

    def forward(
        self, known: tuple[Clip, RowNoise], own: tuple[Clip, RowNoise], off: Tensor, true: Clip, weight: float
    ) -> dict[str, Tensor]:
        """Losses of a true clip, of one of the model's own frames and of as many true frames for the adversary.

        ``off`` (B, M) is how far the dreams that the own frames are of have drifted.
        Without ``weight`` only the adversary learns, from the model's own frames as they are.
        """
        if not weight:
            judged, rough = self._judged(true, own[0], own[0].latents)[1:]
            return {"loss": judged + self.adversary.smooth * rough, "judged": judged, "rough": rough}
        expected = self._expected(*known)
        losses = self.objective(*known)
        made, read = self.imagined(*own)
        unknown = self.doubt.share(read)
        passed, judged, rough = self._judged(true, own[0], made, unknown)
        back = pull(made, off, self.spread)
        asked = passed + self.adversary.drift * back
        told = weight * self._balance(losses["loss"], asked) if torch.is_grad_enabled() else weight
        loss = losses["loss"] + told * asked + judged + self.adversary.smooth * rough + expected
        drifted = (off.square() / self.spread).mean().sqrt()
        found = {"passed": passed, "drifted": drifted, "judged": judged, "rough": rough}
        found |= {"doubt": expected, "unknown": unknown.mean()}
        return {**losses, "loss": loss, **found}

    def _expected(self, known: Clip, noise: RowNoise) -> Tensor:
        """The loss of the doubt, over another draw of the same true clip's disturbances."""
        with torch.no_grad():
            context, look, _ = self.objective.context(known, noise)
            guess, read = look(context)
        return self.doubt.loss(read, guess, known.latents)

    def _judged(
        self, true: Clip, own: Clip, made: Tensor, unknown: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The loss of frames ``made`` (B, L, C, h, w) that are to pass, the adversary's, and its roughness.

        They are to pass where memory does not know what is there; the adversary looks everywhere.
        """
        real, fake = self._evidence(true, true.latents), self._evidence(own, made)
        passed, judged = hinge(self.judge, real, fake, unknown)
        return passed, judged, roughness(self.judge, torch.cat([real, fake.detach()]))

    def _balance(self, loss: Tensor, passed: Tensor) -> Tensor:
        """How much larger the gradient of the one is than of the other, at the last layer (Esser et al. 2021)."""
        last = self.objective.model.denoiser.outside.weight
        one, other = (torch.autograd.grad(x, last, retain_graph=True)[0].norm() for x in (loss, passed))
        return (one / other.clamp_min(1e-6)).clamp_max(1e4).detach()

    def imagined(self, own: Clip, noise: RowNoise) -> tuple[Tensor, Tensor]:
        """Every frame of a clip as it is played after those before it (B, L, C, h, w); the last step learns.

        Also what was read for each, (B, L, extra, h, w).
        """
        context, look, predict = self.objective.context(own, noise)
        seen = look(context)
        levels = path(next_frame(), self.steps)[:, 0].tolist()
        z = noise.normal(*own.latents.shape[1:])
        for step, (now, then) in enumerate(pairwise(levels), 1):
            with torch.set_grad_enabled(torch.is_grad_enabled() and step == self.steps):
                x0 = predict(context, seen, z, z.new_full(z.shape[:2], now))
                z = torch.lerp(x0.float(), z, then / now)  # autocast may have halved it
        return within_the_data(z), seen[1]

    def _evidence(self, clip: Clip, latents: Tensor) -> Tensor:
        before = torch.cat([clip.before_latents[:, None], clip.latents[:, :-1]], 1)
        earlier = torch.cat([clip.before[:, None], clip.poses[:, :-1]], 1)
        moved = self.objective.model.motion(earlier, clip.poses)
        return evidence(latents, before, moved, clip.poses[..., 4])


def alone_of(model: WorldModel) -> WorldModel:
    """A copy with one denoiser: the one that is left alone, where the model has it already."""
    copy = WorldModel(replace(model.config, alone=False)).to(next(model.parameters()).device).eval()
    weights = model.state_dict()
    if model.config.alone:
        weights |= {
            k.replace("alone.", "denoiser.", 1): w for k, w in weights.items() if k.startswith("alone.")
        }
    copy.load_state_dict({k: w for k, w in weights.items() if not k.startswith("alone.")})
    return copy


def with_alone(model: WorldModel, trained: WorldModel, after: int = 0) -> WorldModel:
    """The model, whose second denoiser, which takes over ``after`` so many frames, is the trained one's."""
    after = after or model.config.alone_after
    both = WorldModel(replace(model.config, alone=True, alone_after=after))
    kept = {k: w for k, w in model.state_dict().items() if not k.startswith("alone.")}
    both.load_state_dict(kept | {f"alone.{k}": w for k, w in trained.denoiser.state_dict().items()})
    return both.eval()


@command
def main(args: list[str]) -> int:
    config = load(Config, args)
    accelerator = launch(config, partial=True)
    begun = checkpoint.load(config.checkpoint, accelerator.device)
    loaded, out = Loaded(alone_of(begun.model), begun.description, begun.path), Path(config.out)
    model = loaded.model
    episodes, held_out = encoded(loaded, config.data, config.held_out, out, accelerator)
    played = with_alone(begun.model, model, config.alone_after).to(accelerator.device)
    played.alone = model.denoiser  # as it is at the moment, after some frames of the first one
    dreamer = Loaded(played, begun.description, begun.path)
    sources = open_episodes(Path(config.data))[: len(episodes)]
    rollouts = Rollouts(dreamer, sources, episodes, config.rollout)
    few = episodes[:: max(1, len(episodes) // SPREAD_OVER)]
    spread = variance(torch.cat([episode.latents[::10].float() for episode in few]))
    model.requires_grad_(False)
    model.denoiser.requires_grad_(True)

    def losses_on(
        source: list[LatentEpisode], module: nn.Module, seed: int, step: int, weight: float
    ) -> dict[str, Tensor]:
        process, device = accelerator.process_index, accelerator.device
        few = replace(config.clip, batch=config.adversary.batch, dreamt_odds=0.0)
        # A frame needs no past to be looked at.
        bare = replace(few, pasts=(0,), past_odds=(1.0,), returning_odds=0.0)
        known = draw(source, config.clip if weight else bare, seed, step, process, device)
        true, _ = draw(source, bare, seed * 3 + OF_TRUE, step, process, device)
        clip = few if weight else bare
        off: list[Tensor] = []

        def pick(rng: np.random.Generator) -> tuple[LatentEpisode, int]:
            dream, start = rollouts.pick(rng, clip.length)
            off.append(dream.off)
            return dream.frames, start

        own = batch(pick, clip, seed * 3 + OF_OWN, step, process, device)
        with accelerator.autocast():
            losses: dict[str, Tensor] = module(known, own, torch.stack(off).to(device), true, weight)
        return losses

    def loss_of(wrapped: nn.Module, step: int) -> dict[str, Tensor]:
        rollouts.refresh(config.seed, step, accelerator.process_index)
        since = step - config.adversary.head_start
        together = since >= 0 and since % (1 + config.adversary.ahead) == 0
        weight = config.adversary.weight * together
        return losses_on(episodes, wrapped, config.seed, step, weight)

    alone = Alone(model, config, spread)
    rates = {"judge": config.adversary.rate, "doubt": DOUBT_RATE}
    ema, counters = train(alone, loss_of, out, accelerator, config.optimizer, config, rates=rates)
    assert isinstance(ema, Alone)
    if accelerator.is_main_process:
        result: dict[str, Any] = {"steps": counters["step"], "seconds": round(counters["seconds"], 1)}
        rollouts.refresh(config.seed, counters["step"], accelerator.process_index)
        with torch.no_grad():
            rows = [losses_on(held_out, ema, HELD_OUT_SEED, i, config.adversary.weight) for i in range(8)]
        result["held_out"] = {k: round(v, 5) for k, v in mean_losses(rows).items()}
        save_part(
            out,
            Loaded(
                with_alone(begun.model, ema.objective.model, config.alone_after),
                begun.description,
                begun.path,
            ),
            "rollout",
            result,
        )
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
