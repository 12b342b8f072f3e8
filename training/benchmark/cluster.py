"""What a task costs beside its work: in this process, in processes of this machine, and on Ray, at several counts."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from training import collect
from training.loop.cluster import AUTO, HERE, Cluster, Place, Task, started
from worldsim.config import load
from worldsim.runtime import hardware


@dataclass
class ClusterConfig:
    """``counts`` of episodes of ``steps`` frames, ``repeats`` times; ``workers`` of the pool; ``cluster`` of Ray."""

    counts: list[int] = field(default_factory=lambda: [1, 10, 100])
    steps: int = 50
    workers: int = 2
    repeats: int = 1
    cluster: str = AUTO

    def __post_init__(self) -> None:
        if min([*self.counts, self.steps, self.workers, self.repeats]) < 1:
            raise ValueError("expected counts, steps, workers and repeats of at least 1")


def run(args: list[str]) -> dict[str, Any]:
    """Seconds of every count of episodes of Blocks (32 pixels), and of as many tasks that do nothing, where each is
    asked to run; ``start`` is what the first task took, which includes whatever begins before it.

    A second number of tasks is begun where the first has left its processes, as within one command.
    """
    config = load(ClusterConfig, args)
    torch.set_num_threads(1)
    places = {"one process": HERE, f"{config.workers} processes": Place(workers=config.workers)}
    if find_spec("ray") is not None:
        places["Ray"] = Place(config.cluster)
    found: dict[str, Any] = {}
    for name, place in places.items():
        began = time.perf_counter()
        with started(place) as cluster:
            _episodes(cluster, 1, config.steps)
            found[name] = {"start": round(time.perf_counter() - began, 2)}
            for kind, work in (("empty", _empty), ("episodes", _episodes)):
                rows = {}
                for count in config.counts:
                    took = [work(cluster, count, config.steps) for _ in range(config.repeats)]
                    rows[str(count)] = round(statistics.median(took), 4)
                found[name][kind] = rows
        print(name, found[name], flush=True)
    return {
        "seconds": found,
        "overhead_ms": {
            n: round(of["empty"][str(max(config.counts))] / max(config.counts) * 1e3, 3)
            for n, of in found.items()
        },
        "steps": config.steps,
        "hardware": hardware(),
    }


def nothing() -> None:
    """A task that does nothing."""


def _empty(cluster: Cluster, count: int, steps: int) -> float:
    return _timed(cluster, [Task(str(i), nothing) for i in range(count)])


def _episodes(cluster: Cluster, count: int, steps: int) -> float:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as out:  # on a disk that all machines share
        config = collect.CollectConfig(env="blocks", out=out, steps=steps, size=32, episodes=count)
        jobs = [collect.Job(config, seed) for seed in range(count)]
        return _timed(cluster, [Task(job.name, collect.play, (job,)) for job in jobs])


def _timed(cluster: Cluster, tasks: list[Task]) -> float:
    began = time.perf_counter()
    for _ in cluster.run(tasks):
        pass
    return time.perf_counter() - began
