"""Collect episodes: python -m training.collect env=blocks policy=explore episodes=100 out=data workers=2

env=blocks|labmaze|luanti|doom|gym:ENV_ID, policy=explore|needle|mixed|roam|look_around|random, steps=300 (per episode),
size=64 (pixels), seed=0 (of the first episode; the others follow). What is there already is not collected again.
``out`` may be an address in a store, ``s3://BUCKET/FOLDER``: each episode is brought there when it is whole.
``seconds=N`` begins no further episode after that long.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from omegaconf import MISSING
from tqdm import tqdm

from envs.adapters.gym_make import PREFIX
from envs.episodes import limits
from envs.episodes.format import file_name
from envs.episodes.recorder import Recorder
from envs.episodes.sealing import in_use
from envs.policies import registry as policies
from envs.worlds import identify
from training.data import index
from training.loop.progress import tell
from worldsim.cli.command import command
from worldsim.config import addresses, load

ENVS = {
    "blocks": ("minecraft", "embedded"),
    "labmaze": ("dmlab", "embedded"),
    "luanti": ("minecraft", "luanti"),
    "doom": ("doom", "vizdoom"),
}
POLICIES = ("explore", "needle", "mixed", "roam", "look_around", "random")


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
    seconds: float = 0.0  # 0: as long as it takes

    def __post_init__(self) -> None:
        if self.env != MISSING and self.env not in ENVS and not self.env.startswith(PREFIX):
            raise ValueError(f"expected env={', '.join(ENVS)} or gym:ENV_ID, found env={self.env}")
        if self.policy not in POLICIES:
            raise ValueError(f"expected policy={', '.join(POLICIES)}, found policy={self.policy}")
        for name in ("episodes", "steps", "size", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, found {name}={getattr(self, name)}")
        if not 0 <= self.seed <= limits.SEED - self.episodes:
            raise ValueError(f"expected a seed from 0 to {limits.SEED}, found seed={str(self.seed)[:60]}")


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
    """
    jobs = [Job(config, config.seed + i) for i in range(config.episodes)]
    if addresses.is_address(config.out):
        there = recorded_in(config.out)
    else:
        out = addresses.local_path(config.out)
        out.mkdir(parents=True, exist_ok=True)
        there = {job.name for job in jobs if (out / f"{job.name}.zip").exists()}
    missing = [job for job in jobs if job.name not in there]
    done, before, began = 0, len(jobs) - len(missing), time.monotonic()

    def spent() -> float:
        return (time.monotonic() - began) / config.seconds if config.seconds else 0.0

    def ended(bar: tqdm) -> None:
        bar.update()
        tell(max((before + done) / len(jobs), spent()), {"episodes": before + done})

    with tqdm(total=len(jobs), initial=before, unit="episode", desc=config.out) as bar:
        if config.workers == 1 or len(missing) <= 1:
            for job in missing:
                if done and spent() >= 1:
                    break
                play(job)
                done += 1
                ended(bar)
            return done, before
        os.environ.setdefault("NUMBA_NUM_THREADS", "1")
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(config.workers, len(missing)), context, _ignore_interrupt) as pool:
            try:
                playing: set[Future[Path]] = set()
                while True:
                    while (
                        missing and len(playing) <= config.workers and (spent() < 1 or not (done or playing))
                    ):
                        playing.add(pool.submit(play, missing.pop(0)))
                    if not playing:
                        break
                    over, playing = wait(playing, return_when=FIRST_COMPLETED)
                    for future in over:
                        future.result()
                        done += 1
                        ended(bar)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    return done, before


_worlds: dict[tuple[str, int], gymnasium.Env[Any, Any]] = {}


def play(job: Job) -> Path:
    """Play one episode, record it, and return its file; in a store, where it was recorded on its way there.

    Raises:
        StoreError: it cannot be brought there; what was recorded stays here and is brought there by the next run.
    """
    config, far = job.config, addresses.is_address(job.config.out)
    out = addresses.spool(job.config.out) if far else addresses.local_path(job.config.out)
    world = _worlds.get((config.env, config.size))
    if world is None:
        name, kwargs = identify(*ENVS.get(config.env, (config.env, "gymnasium")))
        made = gymnasium.make(name, disable_env_checker=True, size=config.size, **kwargs)
        world = _worlds.setdefault((config.env, config.size), made)
    if far and (out / f"{job.name}.zip").exists():  # recorded by a run that could not bring it there
        return _brought(out / f"{job.name}.zip", config.out)
    leftover = out / f"{job.name}.partial"
    if leftover.exists():  # cut off by a crash; the same seed plays it again from the start
        if in_use(leftover):
            raise ValueError(
                f"{leftover} is being recorded by another process; wait for it, or choose another out="
            )
        shutil.rmtree(leftover)
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


def _ignore_interrupt() -> None:
    """Ctrl-C and the terminal's end reach every process of the terminal; the first decides, and its end is theirs."""
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _end_with_the_first() -> None:
    """A first process that was killed tells nobody; what goes on without it would write where the next one does."""
    if (first := multiprocessing.parent_process()) is not None:
        first.join()
        os._exit(1)


@command
def main(args: list[str]) -> None:
    """Parse, collect, count."""
    config = load(CollectConfig, args)
    try:
        recorded, before = collect(config)
    finally:
        for world in _worlds.values():  # of this process; an engine behind one ends with it
            world.close()
        _worlds.clear()
    print(f"{recorded} episodes recorded, {before} were there already, in {config.out}")


if __name__ == "__main__":
    sys.exit(main())
