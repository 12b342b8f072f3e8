"""Play walks and encode them: python -m training.collect_walks checkpoint=blocks out=runs/walks/blocks episodes=1200

``data=DIR`` plays nothing and takes the walks of recorded episodes, all that are long enough, which tell poses.

What a generator (`training.train_generator`) is trained on: frames, and once for all their latents and log distances
by the checkpoint's autoencoder and memory of pixels. Episode i plays world ``seed + i`` by the first of ``policies``
whose share covers it; what is there already is not played again. Held-out walks are others: ``seed=8000000``.
``size=128`` keeps frames of twice the model's side, for `training.train_decoder`; latents are of the model's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from omegaconf import MISSING
from tqdm import tqdm

import envs  # noqa: F401  (registers the worlds)
from envs.episodes.episode import Episode
from envs.policies import registry as policies
from training.data.episodes import DataError, fingerprint, latents_of
from training.data.walks import META, Walks, send, shards_in, write
from training.loop.cluster import LOCAL, Place, Task, started
from training.loop.finetune import opened
from training.loop.progress import tell
from worldsim import checkpoint
from worldsim.actions import as_vector, space_from_spec
from worldsim.checkpoint import Loaded
from worldsim.cli.command import command
from worldsim.config import ConfigError, addresses, load
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
    cluster: str = LOCAL
    size: int = 0

    def __post_init__(self) -> None:
        Place(self.cluster)
        for name, least in (("episodes", 1), ("steps", 1), ("shard", 1), ("shortest", 1), ("workers", 0)):
            if (value := getattr(self, name)) < least:
                raise ConfigError(f"{name}: expected at least {least}, found {value}")
        if self.size % 8 or not 0 <= self.size <= 1024:
            expected = "a multiple of 8 up to 1024, or 0 for the model's own"
            raise ConfigError(f"size: expected {expected}, found {self.size}")


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
    folder = place(config.out) / f"{config.seed + first:09d}"
    if (
        folder / META
    ).exists():  # by a worker that died before it could say so, or that could not bring it there
        return _sent(config, folder)
    _one_thread()
    loaded = _loaded(config.checkpoint, "cpu")
    d = loaded.description
    env = gymnasium.make(d.env_id, disable_env_checker=True, size=config.size or loaded.model.config.size)
    rows = []
    for seed in range(config.seed + first, config.seed + min(first + config.shard, config.episodes)):
        frames, actions, poses = play(config, loaded, env, seed)
        rows.append((frames, *encode(loaded, frames, poses), actions, poses))
    env.close()
    return _kept(config, folder, loaded, rows)


def recorded_shard(config: Config, first: int, episodes: list[Episode], length: int) -> Path:
    """Encode and write the first ``length`` frames of these recorded episodes as one shard."""
    folder = place(config.out) / f"{first:09d}"
    if (folder / META).exists():
        return _sent(config, folder)
    here = config.cluster == LOCAL and config.workers == 1  # with all threads, and a GPU where there is one
    if not here:
        _one_thread()
    loaded = _loaded(config.checkpoint, str(pick_device("auto")) if here else "cpu")
    rows = [walk_of(loaded, episode, length, config.size or loaded.model.config.size) for episode in episodes]
    return _kept(config, folder, loaded, rows)


def walk_of(loaded: Loaded, recorded: Episode, length: int, side: int) -> tuple[np.ndarray, ...]:
    """What :class:`.Walks` holds of the first ``length`` frames of a recorded episode with poses."""
    with recorded as episode:
        assert episode.poses is not None
        frames, acted = smaller(episode.frames(0, length), side), episode.action_vectors()[: length - 1]
        actions = np.concatenate([np.zeros_like(acted[:1]), acted])
        poses = episode.poses[:length].astype(np.float32)
    return frames, *encode(loaded, frames, poses), actions, poses


def place(out: str) -> Path:
    """The folder of this machine where shards are written: ``out``, or where they lie until they are in a store."""
    return addresses.spool(out) if addresses.is_address(out) else addresses.local_path(out)


def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


@cache
def _loaded(name: str, device: str) -> Loaded:
    """A checkpoint, once a process."""
    return checkpoint.load(name, torch.device(device))


def _kept(config: Config, folder: Path, loaded: Loaded, rows: Sequence[tuple[np.ndarray, ...]]) -> Path:
    walks = Walks(*(np.stack(column) for column in zip(*rows, strict=True)))
    write(folder, walks, made_by(config, loaded))
    return _sent(config, folder)


def made_by(config: Config, loaded: Loaded) -> dict[str, Any]:
    """What makes a shard what it is, which those of one folder share."""
    d, model = loaded.description, loaded.model
    facts: dict[str, Any] = {
        "env_id": d.env_id,
        "family": d.family,
        "autoencoder": latents_of(model.autoencoder),
        "pixels": fingerprint(model.pixels) if model.config.pixels else "",
        "size": config.size or model.config.size,
    }
    # Recorded walks are as long as their episodes.
    return facts if config.data else facts | {"steps": config.steps, "shard": config.shard}


def _check_alike(config: Config, facts: dict[str, Any], names: Sequence[str]) -> None:
    """Whether the shards of these names, which are there, were made with the same words; old ones do not say all.

    Raises:
        ConfigError: one was made with others.
    """
    for name, meta in _metas(config.out, names):
        if other := [key for key, value in facts.items() if meta.get(key, value) != value]:
            made = " ".join(f"{key}={meta[key]}" for key in other)
            asked = " ".join(f"{key}={facts[key]}" for key in other)
            raise ConfigError(
                f"{config.out} has the shard {name} with {made}, and {asked} is asked for; "
                "give the same to go on, or another out="
            )


def _metas(out: str, names: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in names:
        if addresses.is_address(out):
            written = addresses.read(addresses.join(addresses.join(out, name), META)).decode()
        else:
            written = (addresses.local_path(out) / name / META).read_text()
        yield name, json.loads(written)


def _sent(config: Config, folder: Path) -> Path:
    if addresses.is_address(config.out):
        send(folder, config.out)
    return folder


def shards(config: Config) -> dict[str, Task]:
    """Every shard that is asked for by name, and what makes it.

    Of recorded episodes a shard has many, of like length, cut to the shortest of them: a trainer keeps every file of
    every shard open.

    Raises:
        DataError: as :func:`training.loop.finetune.opened`.
    """
    found: dict[str, Task] = {}
    if not config.data:
        for first in range(0, config.episodes, config.shard):
            name = f"{config.seed + first:09d}"
            found[name] = Task(name, shard, (config, first))
        return found
    episodes, _ = opened(checkpoint.load(config.checkpoint), config.data, "", config.shortest)
    episodes = sorted(episodes, key=len)
    for first in range(0, len(episodes), RECORDED):
        some, name = episodes[first : first + RECORDED], f"{first:09d}"
        found[name] = Task(name, recorded_shard, (config, first, some, len(some[0])))
    return found


@command
def main(args: list[str]) -> None:
    """Parse, make what is missing, count."""
    config = load(Config, args)
    facts = made_by(config, checkpoint.load(config.checkpoint))
    asked, there = shards(config), shards_in(config.out)
    _check_alike(config, facts, [name for name in asked if name in there])
    missing = [task for name, task in asked.items() if name not in there]
    with (
        tqdm(total=len(asked), initial=len(asked) - len(missing), desc="walks", unit="shard") as bar,
        started(Place(config.cluster, max(1, min(config.workers, len(missing))))) as cluster,
    ):
        for _ in cluster.run(missing):
            bar.update()
            tell(bar.n / len(asked), {"shards": bar.n})
    _loaded.cache_clear()
    done = f"{len(missing)} shards {'encoded' if config.data else 'played'}"
    print(f"{done}, {len(asked) - len(missing)} were there already, in {config.out}")


if __name__ == "__main__":
    sys.exit(main())
