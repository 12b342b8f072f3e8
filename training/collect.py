"""Collect episodes: python -m training.collect env=blocks policy=explore episodes=100 out=data workers=2

env=blocks|labmaze|luanti|doom|gym:ENV_ID, policy=explore|needle|mixed|roam|look_around|hold_keys|build|random,
steps=300 (per episode), size=64 (pixels), seed=0 (of the first episode; the others follow). What is there already is
not collected again.
``out`` may be an address in a store, ``s3://BUCKET/FOLDER``: each episode is brought there when it is whole.
``seconds=N`` begins no further episode after that long. ``cluster=auto|ray://HOST:PORT`` plays on the machines of a Ray
cluster, which share the folder (docs/cluster.md).
"""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from omegaconf import MISSING
from tqdm import tqdm

from envs.adapters.gym_make import PREFIX
from envs.adapters.windowless import windowless
from envs.episodes import limits
from envs.episodes.episode import Episode, EpisodeError
from envs.episodes.format import file_name
from envs.episodes.recorder import Recorder
from envs.episodes.sealing import in_use
from envs.policies import registry as policies
from envs.worlds import identify
from training.data import index
from training.loop.cluster import LOCAL, Held, Place, Task, started
from training.loop.progress import tell
from worldsim.cli.command import command
from worldsim.config import ConfigError, addresses, load

ENVS = {
    "blocks": ("minecraft", "embedded"),
    "labmaze": ("dmlab", "embedded"),
    "luanti": ("minecraft", "luanti"),
    "doom": ("doom", "vizdoom"),
}
APART = ("luanti", "MineRL", "DeepMindLab")
"""In the names of worlds of which a process can have but one."""
SIZES = (8, 1024)
"""Pixels of a side, at least and at most."""
POLICIES = ("explore", "needle", "mixed", "roam", "look_around", "hold_keys", "build", "random")


@dataclass
class CollectConfig:
    """What to collect. Episode i plays world ``seed + i`` with a policy of the same seed."""

    env: str = MISSING
    out: str = MISSING
    policy: str = "explore"
    episodes: int = 100
    steps: int = 300
    size: int = 64
    seed: int = 0
    workers: int = 2
    cluster: str = LOCAL
    seconds: float = 0.0  # 0: as long as it takes

    def __post_init__(self) -> None:
        if self.env != MISSING and self.env not in ENVS and not self.env.startswith(PREFIX):
            raise ValueError(f"expected env={', '.join(ENVS)} or gym:ENV_ID, found env={self.env}")
        if self.policy not in POLICIES:
            raise ValueError(f"expected policy={', '.join(POLICIES)}, found policy={self.policy}")
        for name in ("episodes", "steps", "size", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, found {name}={getattr(self, name)}")
        if not SIZES[0] <= self.size <= SIZES[1]:
            raise ValueError(f"expected a size from {SIZES[0]} to {SIZES[1]}, found size={self.size}")
        if not (math.isfinite(self.seconds) and self.seconds >= 0):
            raise ValueError(f"expected seconds of 0 or more, found seconds={self.seconds}")
        if not 0 <= self.seed <= limits.SEED - self.episodes:
            raise ValueError(f"expected a seed from 0 to {limits.SEED}, found seed={str(self.seed)[:60]}")
        self.place()

    def place(self, tasks: int = 1) -> Place:
        """Where so many episodes are played. Here a process plays one world and nothing else; on Ray, where a process
        is any task's, those that cannot share one get their own."""
        apart = self.cluster != LOCAL and any(name in self.env for name in APART)
        return Place(self.cluster, max(1, min(self.workers, tasks)), apart)


@dataclass(frozen=True)
class Job:
    """One episode to be played."""

    config: CollectConfig
    seed: int

    @property
    def name(self) -> str:
        """The episode's name, by which a second run knows that it is there."""
        return f"{file_name(self.config.env)}-{self.config.policy}-{self.seed:06d}"

    @property
    def policy(self) -> str:
        """The policy of this seed; a mix is half explore, half needle."""
        if self.config.policy != "mixed":
            return self.config.policy
        return "needle" if np.random.default_rng([self.seed, 1]).random() < 0.5 else "explore"


def collect(config: CollectConfig) -> tuple[int, int]:
    """Play and record what is missing in ``config.out``; returns (episodes recorded, episodes there before).

    Where that is an address, each episode is recorded here and then brought there, whole or not at all.

    Ctrl-C lets the episodes being played end, seals them, and raises KeyboardInterrupt.

    Raises:
        ConfigError: what is there is of another size, or of another world of that name.
    """
    jobs = [Job(config, config.seed + i) for i in range(config.episodes)]
    if addresses.is_address(config.out):
        there = recorded_in(config.out)
    else:
        out = addresses.local_path(config.out)
        out.mkdir(parents=True, exist_ok=True)
        there = {job.name for job in jobs if (out / f"{job.name}.zip").exists()}
    missing = [job for job in jobs if job.name not in there]
    _check_alike(config, [job.name for job in jobs if job.name in there])
    done, before, began = 0, len(jobs) - len(missing), time.monotonic()

    def spent() -> float:
        return (time.monotonic() - began) / config.seconds if config.seconds else 0.0

    def begun() -> Iterator[Task]:
        for i, job in enumerate(missing):
            if i and spent() >= 1:
                return
            yield Task(job.name, play, (job,))

    with (
        tqdm(total=len(jobs), initial=before, unit="episode", desc=config.out) as bar,
        started(config.place(len(missing))) as cluster,
    ):
        for _ in cluster.run(begun(), finish=True):
            done += 1
            bar.update()
            tell(max((before + done) / len(jobs), spent()), {"episodes": before + done})
    return done, before


def _check_alike(config: CollectConfig, names: list[str]) -> None:
    """Whether the episodes of these names, which are there, are what is asked for.

    Raises:
        ConfigError: one is of another size or another world.
    """
    env_id, kwargs = identify(*ENVS.get(config.env, (config.env, "gymnasium")))
    for name, meta in _metas(config.out, names):
        if (size := meta.get("size", config.size)) != config.size:
            raise ConfigError(
                f"{config.out} has {name} with size={size}, and size={config.size} is asked for; "
                "give the same, or another out="
            )
        world = meta.get("env_kwargs", {}).get("world", kwargs.get("world"))
        if meta.get("env_id", env_id) != env_id or world != kwargs.get("world"):
            found = f"{PREFIX}{world}" if "world" in kwargs and world else meta.get("env_id")
            raise ConfigError(f"{config.out} has {name} of {found}, not of {config.env}; choose another out=")


def _metas(out: str, names: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is said of those of these episodes for which it can be read quickly: of a store, those in its index."""
    if addresses.is_address(out):
        rows = {row.name: row for row in index.read(out)}
        yield from ((n, {"size": rows[n].size, "env_id": rows[n].world}) for n in names if n in rows)
        return
    for name in names:
        try:
            with Episode(addresses.local_path(out) / f"{name}.zip") as episode:
                yield name, episode.meta
        except (EpisodeError, OSError):  # which a trainer leaves out with a notice
            continue


_worlds: dict[tuple[str, int], gymnasium.Env[Any, Any]] = {}


def play(job: Job) -> Path:
    """Play one episode, record it, and return its file; in a store, where it was recorded on its way there.

    Raises:
        StoreError: it cannot be brought there; what was recorded stays here and is brought there by the next run.
    """
    config, far = job.config, addresses.is_address(job.config.out)
    out = addresses.spool(job.config.out) if far else addresses.local_path(job.config.out)
    leftover = out / f"{job.name}.partial"
    if leftover.exists():  # cut off by a crash; the same seed plays it again from the start
        if in_use(leftover):
            raise Held(
                f"{leftover} is being recorded by another process; wait for it, or choose another out="
            )
        shutil.rmtree(leftover)
    if (
        sealed := out / f"{job.name}.zip"
    ).exists():  # by a worker that died, or that could not bring it there
        return _brought(sealed, config.out) if far else sealed
    world = _worlds.get((config.env, config.size))
    if world is None:
        name, kwargs = identify(*ENVS.get(config.env, (config.env, "gymnasium")))
        made = gymnasium.make(name, disable_env_checker=True, size=config.size, **kwargs)
        world = _worlds.setdefault((config.env, config.size), made)
    about = {"policy": job.policy, "policy_seed": job.seed}
    recorder = Recorder(world, out, name=lambda _: job.name, extra=about, recover=False)
    policy = policies.make(job.policy, world, job.seed)
    observation, info = recorder.reset(seed=job.seed)
    policy.reset(info)
    for _ in range(config.steps):
        observation, _, terminated, truncated, info = recorder.step(policy(observation, info))
        if terminated or truncated:
            break
    recorder.stop()
    path = out / f"{job.name}.zip"
    return _brought(path, config.out) if far else path


def recorded_in(address: str) -> set[str]:
    """The names of the episodes that lie in a folder of a store, as files of their own or in shards of its index."""
    zips = {n.removesuffix(".zip") for n in addresses.entries(address) if n.endswith(".zip")}
    return zips | {row.name for row in index.read(address)}


def _brought(path: Path, address: str) -> Path:
    addresses.upload(path, addresses.join(address, path.name))
    path.unlink()
    return path


@command
def main(args: list[str]) -> None:
    """Parse, collect, count."""
    config = load(CollectConfig, args)
    try:
        with windowless():
            recorded, before = collect(config)
    finally:
        for world in _worlds.values():  # of this process; an engine behind one ends with it
            world.close()
        _worlds.clear()
    print(f"{recorded} episodes recorded, {before} were there already, in {config.out}")


if __name__ == "__main__":
    sys.exit(main())
