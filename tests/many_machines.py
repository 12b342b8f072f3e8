"""Three machines of a Ray cluster on this one, of which two die: python -m tests.many_machines episodes=300

Episodes are played, encoded and evaluated by one process, and then on a Ray cluster of three nodes (ray.cluster_utils),
of which one is killed while episodes are played and another while they are evaluated; a worker is killed while they are
encoded. Nothing may be missing, nothing there twice, and every file has the bytes of the one process. pool=true does
the same with two processes of this machine, of which one is killed in each part. Exit code 1 where anything differs.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tests.helpers.small_model import small_checkpoint
from training import collect, evaluate
from training.data.episodes import open_episodes
from training.loop.cluster import HERE, Place
from training.loop.encode import fill
from worldsim import checkpoint
from worldsim.cli.command import command
from worldsim.config import load


@dataclass
class ManyMachinesConfig:
    """How many episodes, of how many steps; ``nodes`` of one core each. All are measured ahead, ``needle`` of them for
    what comes back, which takes longer."""

    episodes: int = 300
    steps: int = 28
    nodes: int = 3
    needle: int = 30
    pool: bool = False


Kill = Callable[[], None]


@dataclass
class Site:
    """Where the three parts run, and what dies in each of them."""

    place: Place
    kills: tuple[Kill | None, Kill | None, Kill | None] = (None, None, None)


def play(folder: Path, model: Path, config: ManyMachinesConfig, site: Site) -> dict[str, float]:
    """Collect into DATA, encode into LATENTS, evaluate into a file; seconds of each."""
    words = [f"cluster={site.place.cluster}", f"workers={site.place.workers}"]
    data, latents, out = folder / "data", folder / "latents", folder / "scores.json"
    took: dict[str, float] = {}

    def collected() -> None:
        asked = ["env=blocks", "policy=random", "size=32", f"steps={config.steps}", f"out={data}"]
        assert collect.main([*asked, f"episodes={config.episodes}", *words]) == 0

    def encoded() -> None:
        loaded = checkpoint.load(str(model))
        assert fill(open_episodes(data), loaded.model.autoencoder, latents, site.place) == config.episodes

    def evaluated() -> None:
        dials = ["context=4", "farthest=4", "budget=4", "denoising_steps=1", "blind=4", "threads=1"]
        asked = [f"checkpoint={model}", *dials, "starts=1", "perceptual=false", *words]
        assert evaluate.main([*asked, f"ahead={data}", f"out={out}"]) == 0
        back = [f"needle={data}", f"episodes={config.needle}", f"out={folder / 'needle.json'}"]
        assert evaluate.main([*asked, *back]) == 0

    parts = {"collect": (collected, data), "encode": (encoded, latents), "evaluate": (evaluated, folder)}
    for (name, (work, where)), kill in zip(parts.items(), site.kills, strict=True):
        began = time.monotonic()
        with killing(kill, where, config.episodes):
            work()
        took[name] = round(time.monotonic() - began, 1)
        print(f"{site.place.cluster}, {site.place.workers} workers: {name} in {took[name]} s", flush=True)
    return took


@contextmanager
def killing(kill: Kill | None, where: Path, episodes: int) -> Iterator[None]:
    """While it lasts, kill once when a third of the files is there."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            made = sum(f.suffix in (".zip", ".npy", ".json") and f.name[0] != "." for f in where.rglob("*.*"))
            # The third part adds a file an episode, until scores.json is written in their place.
            base = episodes * 2 if where.name not in ("data", "latents") else 0
            if made - base >= max(1, episodes // 3):
                assert kill is not None
                kill()
                print("killed", flush=True)
                return

    thread = threading.Thread(target=watch)
    if kill:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if kill:
            thread.join()


def differing(one: Path, many: Path) -> list[str]:
    """What is not the same in two folders, by name; what a killed process had begun to write counts for nothing."""

    def digests(folder: Path) -> dict[str, str]:
        files = (f for f in folder.rglob("*") if f.is_file() and ".new" not in f.suffixes)
        return {str(f.relative_to(folder)): hashlib.sha256(_content(f)).hexdigest() for f in files}

    a, b = digests(one), digests(many)
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def _content(file: Path) -> bytes:
    if file.suffix != ".json":
        return file.read_bytes()
    return json.dumps(
        {k: v for k, v in json.loads(file.read_text()).items() if k in ("ahead", "needle")}
    ).encode()


@contextmanager
def ray_cluster(nodes: int) -> Iterator[tuple[Any, list[Any]]]:
    """A Ray cluster on this machine, and its nodes but for the first."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray.cluster_utils import Cluster

    for _ in range(3):  # on a busy machine Ray's parts wait too briefly for each other
        try:
            with _begun(ray, Cluster, nodes) as made:
                yield made
                return
        except NotBegun:
            continue
    raise NotBegun("Ray did not begin, three times: the machine is too busy, or does not let it")


class NotBegun(ValueError):
    """Ray is not there; in a command exit code 2."""


@contextmanager
def _begun(ray: Any, Cluster: Any, nodes: int) -> Iterator[tuple[Any, list[Any]]]:
    small = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_log_monitor": False}
    cluster = Cluster()
    try:
        try:
            cluster.add_node(include_dashboard=False, **small, **_ports())
            others = [cluster.add_node(**small, **_ports()) for _ in range(nodes - 1)]
            ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
        except Exception as error:
            raise NotBegun(str(error)) from error
        yield cluster, others
    finally:
        ray.shutdown()
        cluster.shutdown()


def _ports() -> dict[str, int]:
    """Of a node's agents: one that chooses its own has 15 seconds to say which, and a busy machine needs longer."""
    names = (
        "metrics_agent_port",
        "metrics_export_port",
        "dashboard_agent_listen_port",
        "runtime_env_agent_port",
    )
    sockets = [socket.socket() for _ in names]
    for one in sockets:
        one.bind(("", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return dict(zip(names, ports, strict=True))


def worker_of_ray() -> int | None:
    """The process of a Ray worker that has a task of ours."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if (place / "cmdline").read_bytes().startswith(
                b"ray::entry"
            ) and place.stat().st_uid == os.getuid():
                return int(place.name)
        except OSError:
            continue
    return None


def kill_worker_of_ray() -> None:
    """-9 to a worker that has a task."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if pid := worker_of_ray():
            os.kill(pid, signal.SIGKILL)
            return
    raise AssertionError("no worker of Ray had a task")


def kill_worker_of_pool() -> None:
    """-9 to a process that this one has begun to work."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    workers = [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]
    os.kill(workers[-1], signal.SIGKILL)


@command
def main(args: list[str]) -> int:
    """Play it by one process, then by many, and compare."""
    config = load(ManyMachinesConfig, args)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        model, one, many = small_checkpoint(Path(place) / "model"), Path(place) / "one", Path(place) / "many"
        took = {"one process": play(one, model, config, Site(HERE))}
        if config.pool:
            kills = (kill_worker_of_pool,) * 3
            took["two processes"] = play(many, model, config, Site(Place(workers=2), kills))
        else:
            with ray_cluster(config.nodes) as (cluster, others):

                def remove() -> None:
                    cluster.remove_node(others.pop(), allow_graceful=False)

                site = Site(Place("auto"), (remove, kill_worker_of_ray, remove))
                took[f"Ray, {config.nodes} nodes"] = play(many, model, config, site)
        wrong = differing(one, many)
        count = sum(f.is_file() for f in one.rglob("*"))
    print(f"{count} files of one process, {len(wrong)} differ or are not there: {wrong[:5]}")
    print(json.dumps({"episodes": config.episodes, "seconds": took, "files": count, "differ": len(wrong)}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
