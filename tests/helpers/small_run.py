"""A few recorded episodes and the command lines that train on them in seconds."""

from __future__ import annotations

from pathlib import Path

import gymnasium

import envs  # noqa: F401
from envs.episodes.recorder import Recorder
from envs.policies import registry as policies

SIZE = 32
SMALL_AUTOENCODER = [
    "autoencoder.channels=8",
    "autoencoder.encoder_widths=[8,8,16]",
    "autoencoder.decoder_widths=[8,8,16]",
]
SMALL_AR_VAE = [
    "autoencoder.width=16",
    "autoencoder.depth=1",
    "autoencoder.heads=2",
    "autoencoder.tokens=4",
    "autoencoder.dim=3",
    "autoencoder.window=3",
    "batch=4",
    "clip=4",
]
SMALL_DENOISER = [
    "denoiser.width=32",
    "denoiser.depth=1",
    "denoiser.heads=2",
    "denoiser.window=4",
    "memory.width=16",
    "memory.heads=2",
    "memory.reads=3",
    "clip.length=6",
    "clip.batch=2",
    "clip.pasts=[0,12]",
    "clip.past_odds=[0.3,0.7]",
    "clip.budgets=[4]",
    "clip.budget_odds=[1.0]",
]

SMALL_VIDEO = [
    "model.causal_dit.width=32",
    "model.causal_dit.depth=1",
    "model.causal_dit.heads=2",
    "model.unet3d.widths=[16,16]",
    "model.unet3d.halve=[true]",
    "model.unet3d.heads=2",
    "model.memory.width=16",
    "model.memory.heads=2",
    "model.memory.depth=1",
    "clip.length=4",
    "clip.batch=2",
    "clip.pasts=[0,12]",
    "clip.past_odds=[0.3,0.7]",
    "clip.budgets=[4]",
    "clip.budget_odds=[1.0]",
    "objective.windows=[1,4]",
    "objective.window_odds=[0.3,0.7]",
    "sample_every=0",
]


def record(
    folder: Path,
    episodes: int = 2,
    steps: int = 40,
    name: str = "worldsim/LabMaze-v0",
    policy: str = "explore",
) -> Path:
    for seed in range(episodes):
        env = Recorder(gymnasium.make(name, size=SIZE), folder)
        obs, info = env.reset(seed=seed)
        player = policies.make(policy, env, seed)
        player.reset(info)
        for _ in range(steps):
            obs, _, _, _, info = env.step(player(obs, info))
        env.close()
    return folder
