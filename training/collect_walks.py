"""Play walks and encode them: python -m training.collect_walks checkpoint=blocks out=runs/walks/blocks episodes=1200

``data=DIR`` plays nothing and takes the walks of recorded episodes, all that are long enough, which tell poses.

What a generator (`training.train_generator`) is trained on: frames, and once for all their latents and log distances
by the checkpoint's autoencoder and memory of pixels. Episode i plays world ``seed + i`` by the first of ``policies``
whose share covers it; what is there already is not played again. Held-out walks are others: ``seed=8000000``.
``size=128`` keeps frames of twice the model's side, for `training.train_decoder`; latents are of the model's.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import gymnasium
import numpy as np
import torch
from omegaconf import MISSING
from tqdm import tqdm

import envs  # noqa: F401  (registers the worlds)
from envs.policies import registry as policies
from training.data.episodes import DataError, latents_of
from training.data.walks import Walks, send, shards_in, write
from training.loop.finetune import opened
from training.loop.progress import tell
from worldsim import checkpoint
from worldsim.actions import as_vector, space_from_spec
from worldsim.checkpoint import Loaded
from worldsim.cli.command import command
from worldsim.config import addresses, load
from worldsim.frames import smaller, to_tensor
from worldsim.runtime import pick_device

RECORDED = 32
"""Recorded episodes of a shard."""


@dataclass
class Config:
    """``steps`` frames an episode, ``shard`` episodes a file; ``size`` of the frames, 0 for the model's own.

    Of recorded ``data`` the last twentieth is left out, as trainers do, and so are episodes of fewer than ``shortest``
    frames; each of the others is a walk.
    """

    checkpoint: str = MISSING
    out: str = MISSING
    data: str = ""
    shortest: int = 17
    episodes: int = 1200
    steps: int = 256
    shard: int = 8
    seed: int = 3_000_000
    policies: dict[str, float] = field(default_factory=lambda: {"explore": 0.75, "needle": 0.25})
    workers: int = 1
    size: int = 0


def policy_of(config: Config, seed: int) -> str:
    """The policy that plays the world of this seed."""
    shares = np.cumsum(list(config.policies.values()))
    u = np.random.default_rng([seed, 1]).random() * shares[-1]
    return list(config.policies)[int(np.searchsorted(shares, u, side="right"))]


def play(config: Config, loaded: Loaded, env: gymnasium.Env, seed: int) -> tuple[np.ndarray, ...]:  # type: ignore[type-arg]
    """One walk: frames (T, H, W, 3), actions (T, A), poses (T, 5).

    Raises:
        DataError: the world ended it, or tells no pose.
    """
    space = space_from_spec(loaded.action_spec)
    policy = policies.make(policy_of(config, seed), env, seed)
    observation, info = env.reset(seed=seed)
    policy.reset(info)
    if "pose" not in info:
        raise DataError("expected a world that tells poses, which memory is learned from")
    frames = [np.asarray(observation["pov"])]
    actions = [np.zeros(loaded.model.config.action_dim, np.float32)]
    poses = [info["pose"]]
    for _ in range(config.steps - 1):
        action = policy(observation, info)
        observation, _, terminated, truncated, info = env.step(action)
        frames.append(np.asarray(observation["pov"]))
        actions.append(as_vector(space, action))
        poses.append(info["pose"])
        if (terminated or truncated) and len(frames) < config.steps:
            raise DataError(f"world {seed} ended after {len(frames)} of {config.steps} frames")
    return np.stack(frames), np.stack(actions).astype(np.float32), np.stack(poses).astype(np.float32)


@torch.inference_mode()
def encode(loaded: Loaded, frames: np.ndarray, poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latents (T, C, h, w) and log distances (T, ., .) of a walk, as float16."""
    model = loaded.model
    device = next(model.parameters()).device
    frames = smaller(frames, model.config.size)
    latents, depth = [], []
    for i in range(0, len(frames), 64):
        with torch.autocast(device.type, torch.bfloat16):
            z = model.autoencoder.encode(to_tensor(frames[i : i + 64], device)).float()
            pitch = torch.from_numpy(poses[i : i + 64, 4]).to(device)
            far = model.pixels.depth(z, pitch) if model.config.pixels else z.new_zeros(len(z), 1, 1)
        latents.append(z.half().cpu().numpy())
        depth.append(far.half().cpu().numpy())
    return np.concatenate(latents), np.concatenate(depth)


def shard(config: Config, first: int) -> Path:
    """Play, encode and write the episodes of one shard."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    loaded = checkpoint.load(config.checkpoint)
    d = loaded.description
    env = gymnasium.make(d.env_id, disable_env_checker=True, size=config.size or loaded.model.config.size)
    rows = []
    for seed in range(config.seed + first, config.seed + min(first + config.shard, config.episodes)):
        frames, actions, poses = play(config, loaded, env, seed)
        rows.append((frames, *encode(loaded, frames, poses), actions, poses))
    folder = place(config.out) / f"{config.seed + first:09d}"
    meta = {"autoencoder": latents_of(loaded.model.autoencoder), "env_id": d.env_id, "family": d.family}
    _put(config, folder, rows, meta)
    return folder


def place(out: str) -> Path:
    """The folder of this machine where shards are written: ``out``, or where they lie until they are in a store."""
    return addresses.spool(out) if addresses.is_address(out) else addresses.local_path(out)


def _put(config: Config, folder: Path, rows: Sequence[tuple[np.ndarray, ...]], meta: dict[str, str]) -> None:
    if not folder.exists():  # it is where a run could not bring it to the store
        write(folder, Walks(*(np.stack(column) for column in zip(*rows, strict=True))), meta)
    if addresses.is_address(config.out):
        send(folder, config.out)


def recorded(config: Config) -> int:
    """Encode and write the walks of recorded episodes; how many there are.

    A trainer keeps every file of every shard open, so that a shard has to be of many episodes: those of like length,
    cut to the shortest of them.

    Raises:
        DataError: as :func:`training.loop.finetune.opened`.
    """
    loaded = checkpoint.load(config.checkpoint, pick_device("auto"))
    episodes, _ = opened(loaded, config.data, "", config.shortest)
    episodes = sorted(episodes, key=len)
    d, side = loaded.description, config.size or loaded.model.config.size
    out, there = place(config.out), shards_in(config.out)
    meta = {"autoencoder": latents_of(loaded.model.autoencoder), "env_id": d.env_id, "family": d.family}
    for first in tqdm(range(0, len(episodes), RECORDED), "walks", unit="shard"):
        tell(first / len(episodes), {"walks": first})
        folder = out / f"{first:09d}"
        if folder.name in there:
            continue
        some = episodes[first : first + RECORDED]
        rows, length = [], len(some[0])
        for episode in some:
            assert episode.poses is not None
            frames, acted = smaller(episode.frames(0, length), side), episode.action_vectors()[: length - 1]
            actions = np.concatenate([np.zeros_like(acted[:1]), acted])
            poses = episode.poses[:length].astype(np.float32)
            rows.append((frames, *encode(loaded, frames, poses), actions, poses))
        _put(config, folder, rows, meta)
    return len(episodes)


@command
def main(args: list[str]) -> None:
    """Parse, play what is missing, count."""
    config = load(Config, args)
    out, there = config.out, shards_in(config.out)
    if config.data:
        print(f"{recorded(config)} walks of {config.data}, in {out}")
        return
    firsts = range(0, config.episodes, config.shard)
    missing = [i for i in firsts if f"{config.seed + i:09d}" not in there]
    if config.workers == 1:
        for first in tqdm(missing, "shards"):
            shard(config, first)
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(config.workers, context) as pool:
            for future in tqdm(as_completed([pool.submit(shard, config, i) for i in missing]), "shards"):
                future.result()
    print(f"{len(missing)} shards played, {len(firsts) - len(missing)} were there already, in {out}")


if __name__ == "__main__":
    sys.exit(main())
