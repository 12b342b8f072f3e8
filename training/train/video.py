"""Train a video model of Meta-ARVDM over a trained autoencoder, with mixed noise levels.

    python -m training.train_video walks=runs/walks/labmaze checkpoint=labmaze out=RUN seconds=7200
    python -m training.train_video data=DIR held_out=DIR autoencoder=RUN/autoencoder.safetensors out=RUN seconds=3600

The first is diffusion forcing on latents of walks, for every method and every memory at once
(:mod:`training.train.video_on_walks`), the second on recorded episodes, for any denoiser and autoencoder, one memory at
a time. What follows is of the second.

The defaults are the paper's recipe (section 6.1.1: v prediction, fused SNR with decay 0.96, Adam, clipping at 1.0,
noise clipped at 6.0). `model.memory.way=channel model.memory.compressor=modulated`, `model.denoiser=unet3d` and so on
choose the variant. One run serves every method: `run_demo.py method=NAME --checkpoint RUN/checkpoint`.
`init=CHECKPOINT` begins from all weights of another checkpoint that have the same name and shape. The same command
after a kill goes on. `autoencoder=sd3:SOURCE` takes the paper's latents, the stable-diffusion-3 VAE (extra sd3).
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
from training.loop.launch import launch
from training.loop.mirror import mirrored
from training.loop.train import LoopConfig
from training.objectives.video_model import VideoObjective, VideoObjectiveConfig, draw_setting
from training.train import video_on_walks
from worldsim.checkpoint import CheckpointError, load_autoencoder, resolve, weights
from worldsim.cli.command import command
from worldsim.config import AutoencoderConfig, load
from worldsim.models.autoencoders.conv import ConvAutoencoder
from worldsim.models.autoencoders.sd3 import Sd3Autoencoder
from worldsim.models.video_model import SD3, VideoModel, VideoModelConfig


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
    return load_autoencoder(word)


def begin_from(model: VideoModel, name_or_path: str) -> int:
    """Take over every weight of another checkpoint that has the same name and shape; how many there were.

    Raises:
        CheckpointError: no such checkpoint, or nothing in it fits.
    """
    mine = model.state_dict()
    kept = ("autoencoder.", "action_mean", "action_std")
    fitting = {
        k: v
        for k, v in weights(resolve(name_or_path)).items()
        if k in mine and v.shape == mine[k].shape and not k.startswith(kept)
    }
    if not fitting:
        raise CheckpointError(f"init={name_or_path}: none of its weights fit this model; leave init out")
    model.load_state_dict(mine | fitting)
    return len(fitting)


@command
@mirrored
def main(args: list[str]) -> int:
    """Parse, train, publish."""
    if any(word.startswith("walks=") for word in args):
        return video_on_walks.main(args)
    config = load(Config, args)
    # A step without references, or with uncompressed ones, leaves parts of the memory out.
    accelerator = launch(config, partial=True)
    autoencoder, autoencoder_config = open_autoencoder(config.autoencoder)
    autoencoder.to(accelerator.device)
    both = open_both(config.data, config.held_out)
    sources, held = long_enough(both, config.clip.length + 1, config.data)
    meta = sources[0].meta
    episodes, held_out = encode_both((sources, held), autoencoder, config.encoded, accelerator, config)
    shape = config.model
    shape.size, shape.autoencoder = int(meta["size"]), autoencoder_config
    if config.autoencoder.startswith(SD3):
        shape.latents = config.autoencoder
    shape.action_dim = episodes[0].actions.shape[1]
    model = VideoModel(shape)
    begin_over(model, autoencoder, episodes)
    if config.init:
        begin_from(model, config.init)
    objective = VideoObjective(model, config.objective)

    def losses_on(source: list[LatentEpisode], module: nn.Module, seed: int, step: int) -> dict[str, Tensor]:
        clip, noise = draw(source, config.clip, seed, step, accelerator.process_index, accelerator.device)
        setting = draw_setting(config.objective, clip.past_latents.shape[1], seed, step)
        with accelerator.autocast():
            losses: dict[str, Tensor] = module(clip, noise, setting)
        return losses

    ema, result = fit(objective, losses_on, (episodes, held_out), config, config.optimizer, accelerator)
    if accelerator.is_main_process:
        publish(config.out, ema.model, meta, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
