"""Kill -9 at random moments and count what is lost: python -m tests.kills recording=100 sealing=50 training=50 seed=0

recording: a child records and tells of every step that returned; after the kill the next start must find each of them.
sealing: a child that seals a recording is killed; after the next start the episode is there, whole, once.
training: a child saves a training state again and again; after the kill the state is there, whole, and not older than
the last that was told of. Exit code 1 where anything was lost.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from envs.episodes.episode import Episode, seal_partials
from envs.episodes.recorder import Recorder
from tests.envs.flatland import Flatland, walk
from tests.helpers.fuzz.episodes import record
from training.loop import resume
from worldsim.cli.command import command
from worldsim.config import load


@dataclass
class KillsConfig:
    """How many kills of each kind."""

    recording: int = 0
    sealing: int = 0
    training: int = 0
    seed: int = 0


def killed(work: Callable[[], Iterator[int]], after: int, delay: float) -> int:
    """Work in a child until it has told of ``after``, kill it ``delay`` seconds later; the last it told of, or -1."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            for told in work():
                os.write(write, f"{told}\n".encode())
        finally:
            os._exit(0)
    os.close(write)
    told = -1
    with os.fdopen(read) as lines:
        for line in lines:
            told = int(line)
            if told >= after:
                break
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        for line in lines:
            told = int(line)
    os.waitpid(child, 0)
    return told


def recording(folder: Path, rng: random.Random) -> str | None:
    """What was lost of a recording, or None."""

    def work() -> Iterator[int]:
        recorder = Recorder(Flatland(), folder)
        recorder.reset(seed=0)
        for i in itertools.count(1):
            recorder.step(walk("minecraft", 5.0))
            yield i

    told = killed(work, rng.randrange(1, 60), rng.random() * 0.02)
    (path,) = seal_partials(folder)
    with Episode(path) as episode:
        episode.verify()
        found = len(episode) - 1
    return None if found >= told else f"{told} steps were told of, {found} found"


def sealing(folder: Path, rng: random.Random) -> str | None:
    """What was lost by sealing, or None."""

    def work() -> Iterator[int]:
        yield 0
        seal_partials(folder)
        time.sleep(60)

    record(folder, "one", steps=200, side=64).close()
    killed(work, 0, rng.random() * 0.3)
    seal_partials(folder)
    left = sorted(p.name for p in folder.iterdir())
    if left != ["one.zip"]:
        return f"left behind: {left}"
    with Episode(folder / "one.zip") as episode:
        episode.verify()
        return None if len(episode) == 201 else f"{len(episode)} of 201 frames"


def training(folder: Path, rng: random.Random) -> str | None:
    """What was lost of a training state, or None."""
    model = torch.nn.Linear(300, 300)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 300)).sum().backward()
    optimizer.step()

    def work() -> Iterator[int]:
        for i in itertools.count(1):
            resume.save(folder, {"model": model}, optimizer, {"step": i})
            yield i

    told = killed(work, rng.randrange(1, 12), rng.random() * 0.02)
    counters = resume.restore(folder, {"model": model}, optimizer)
    found = -1 if counters is None else counters["step"]
    return None if found >= told else f"state {told} was told of, {found} found"


KINDS: dict[str, Callable[[Path, random.Random], str | None]] = {
    "recording": recording,
    "sealing": sealing,
    "training": training,
}


@command
def main(args: list[str]) -> int:
    """Kill, look, count."""
    config = load(KillsConfig, args)
    torch.set_num_threads(1)
    bad = 0
    for kind, kill in KINDS.items():
        lost = []
        for i in range(count := getattr(config, kind)):
            with tempfile.TemporaryDirectory() as place:
                if what := kill(Path(place), random.Random(f"{kind} {config.seed} {i}")):
                    lost.append(f"kill {i}: {what}")
        if count:
            print(f"{kind}: {count} kills, {len(lost)} lost something", *lost, sep="\n  ", flush=True)
        bad += len(lost)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
