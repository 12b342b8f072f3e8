"""Train AR-Diffusion on recorded episodes, over a trained AR-VAE.

    python -m training.train_ar_diffusion data=DIR held_out=DIR autoencoder=RUN/ar_vae.safetensors out=RUN seconds=3600

The rows of the paper's ablation (table 3) are words: `timesteps=uniform_first`, `model.denoiser.causal=false`,
`model.prediction=eps` (or v), `timesteps=independent non_decreasing=false`; `timesteps=equal` is synchronous diffusion.
`config=assets/configs/ar_diffusion.yaml` is the paper's size. `init=labmaze_methods model.backbone=forcing_dit
model.forcing_dit.timeless=0.5 model.process=rectified_flow model.scale=1` begins from a video model of the same world.
The same command after a kill
goes on. Writes RUN/checkpoint, from which `python -m training.sample` makes videos, and prints the held-out error as
one JSON line.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from omegaconf import MISSING
from torch import Tensor, nn

from training.data.clips import ClipConfig, draw
from training.data.episodes import LatentEpisode, long_enough, open_both
from training.loop.adamw import OptimizerConfig
from training.loop.encode import encode_both
from training.loop.fit import begin_over, fit, publish
from training.loop.graft import graft
from training.loop.launch import launch
from training.loop.mirror import mirrored
from training.loop.train import LoopConfig
from training.objectives.ar_diffusion import ArDiffusionObjective, ContinuationConfig
from training.objectives.timesteps import Timesteps
from worldsim.checkpoint import load_ar_vae, load_video
from worldsim.cli.command import command
from worldsim.config import load
from worldsim.models.ar_diffusion import ArDiffusion, ArDiffusionConfig

BLOCKS = ("model.denoiser.blocks.", "model.denoiser.network.blocks.")


@dataclass
class Config(LoopConfig):
    """``length`` frames a clip, ``batch`` clips a step; ``drop_actions`` of the clips are trained without actions.
    ``continuation``: clips whose first frames are given. ``init``: a video model whose denoiser is begun from
    (:mod:`training.loop.graft`)."""

    autoencoder: str = MISSING
    init: str = ""
    length: int = 16
    batch: int = 8
    timesteps: str = "fopp"
    non_decreasing: bool = True
    drop_actions: float = 0.1
    noise_clip: float = 6.0
    continuation: ContinuationConfig = field(default_factory=ContinuationConfig)
    model: ArDiffusionConfig = field(default_factory=ArDiffusionConfig)
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(lr=5e-4, weight_decay=0.0, betas=(0.9, 0.999))
    )


@command
@mirrored
def main(args: list[str]) -> int:
    config = load(Config, args)
    # A batch in which every action is told leaves the embedding of no action out.
    accelerator = launch(config, partial=True)
    timesteps = Timesteps(config.timesteps, config.non_decreasing, config.length, config.model.timesteps)
    autoencoder, shape = load_ar_vae(config.autoencoder)
    autoencoder.to(accelerator.device)
    both = open_both(config.data, config.held_out, shape.size)
    sources, held = long_enough(both, config.length + 1, config.data)
    meta = sources[0].meta
    episodes, held_out = encode_both((sources, held), autoencoder, config.encoded, accelerator, config)
    config.model.autoencoder, config.model.action_dim = shape, episodes[0].actions.shape[1]
    model = ArDiffusion(config.model)
    begin_over(model, autoencoder, episodes)
    shares = {}
    if config.init:
        shares = graft(model, load_video(config.init), sources)
    objective = ArDiffusionObjective(
        model, timesteps, config.drop_actions, config.noise_clip, config.continuation
    )
    clip_config = ClipConfig(
        length=config.length,
        batch=config.batch,
        pasts=(0,),
        past_odds=(1.0,),
        dreamt_odds=0.0,
        returning_odds=0.0,
    )

    def losses_on(source: list[LatentEpisode], module: nn.Module, seed: int, step: int) -> dict[str, Tensor]:
        clip, noise = draw(source, clip_config, seed, step, accelerator.process_index, accelerator.device)
        with accelerator.autocast():
            losses: dict[str, Tensor] = module(clip.latents, clip.actions, noise)
        return losses

    ema, result = fit(
        objective, losses_on, (episodes, held_out), config, config.optimizer, accelerator, blocks=BLOCKS
    )
    if accelerator.is_main_process:
        result["timesteps"] = timesteps.scheme
        if shares:
            result["init"] = {"from": config.init, "explained": shares}
        publish(config.out, ema.model, meta, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
