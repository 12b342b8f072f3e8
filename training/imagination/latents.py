"""Keep what a generator makes up, as latents: python -m training.imagination.latents checkpoint=NAME out=FILE.npy

Roams `seeds` worlds from `first_seed` on as `training.imagination` does, `frames` of a dream's own after `context` true
ones, and keeps every `stride`-th latent: (N, C, h, w), float16. What draws pictures from latents can be trained on them
(`training.train_decoder dreamt=FILE.npy`). With `bare=true` it keeps those alone in which nothing is to be seen, which
a generator can be taught to leave (`training.train_generator generation.lost=FILE.npy`). The first seed is not one of
the worlds that dreams are scored in.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

import numpy as np
import torch

from training.imagination.bare import bare
from training.imagination.config import Played
from training.imagination.play import begin_in_dream, begin_in_world, dream_of, player_in_dream, world_of
from training.imagination.run import opened, seeds
from worldsim.cli.command import command
from worldsim.config import ConfigError, load


@dataclass
class Config(Played):
    first_seed: int = 2_300_000
    frames: int = 240
    stride: int = 4
    bare: bool = False
    precision: str = "auto"


@command
def main(args: list[str]) -> int:
    config = load(Config, args)
    if not config.out or config.frames < config.stride or config.stride < 1:
        raise ConfigError("expected out=FILE.npy and frames of at least one stride")
    loaded = opened(config, ".npy")
    env, dream = world_of(loaded), dream_of(loaded, config)
    kept: list[torch.Tensor] = []
    for seed in seeds(config, "dreams", "dream"):
        _, context = begin_in_world(env, config, seed)
        stage = begin_in_dream(dream, context, seed)
        stage.walk(player_in_dream(dream, config, seed + 1), config.frames)
        newest = list(zip(dream.latents, dream.pictures, strict=True))[-config.frames :]
        some = newest[config.stride - 1 :: config.stride]
        kept.extend(latent for latent, picture in some if not config.bare or bare(picture))
    env.close()
    if not kept:
        raise ConfigError(
            f"none of the views of {config.seeds} dreams is to be kept; give more seeds or frames"
        )
    latents = torch.stack(kept).float().cpu().numpy().astype(np.float16)
    np.save(config.out, latents)
    print(json.dumps({"latents": list(latents.shape), "seeds": config.seeds, "out": config.out}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
