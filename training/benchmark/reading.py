"""How fast training reads episodes: files of a folder, shards of this machine, and shards of a store, in one run."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from envs.episodes.episode import Episode
from training import collect
from training.convert import index as packing
from training.data import blocks
from training.data.episodes import open_episodes
from worldsim.config import addresses, load
from worldsim.runtime import hardware


@dataclass
class ReadingConfig:
    """``data``: a folder of episodes of this machine; without one ``episodes`` are played, of ``frames`` of ``size``
    pixels. ``store``: a folder of a store, ``s3://BUCKET/FOLDER``, that shards may be written to; none, if it is empty.

    In each of ``repeats`` rounds each reader reads the same ``clips`` stretches of ``length`` frames.
    """

    data: str = ""
    store: str = ""
    episodes: int = 40
    frames: int = 300
    size: int = 64
    clips: int = 200
    length: int = 16
    repeats: int = 5

    def __post_init__(self) -> None:
        if min(self.episodes, self.frames, self.size, self.clips, self.length, self.repeats) < 1:
            raise ValueError("expected episodes, frames, size, clips, length and repeats of at least 1")


def run(args: list[str]) -> dict[str, Any]:
    """Frames a second, decoded, of clips drawn at random; the ratio of each reader to that of files, round by round.

    ``store_first`` begins with nothing cached, ``store`` has all it reads in the cache of blocks on disk.
    """
    config = load(ReadingConfig, args)
    with tempfile.TemporaryDirectory(prefix="worldsim-reading-") as name:
        folder = Path(name)
        data = config.data or _played(config, folder / "data")
        found, opened = _readers(config, data, folder / "shards")
        rates: dict[str, list[float]] = {name: [] for name in found}
        work: dict[str, list[float]] = {name: [] for name in found}
        asked = 0
        for repeat in range(config.repeats):
            for name, episodes in found.items():
                if name == "store_first":
                    shutil.rmtree(blocks.shared().folder, ignore_errors=True)
                    blocks.shared.cache_clear()
                seconds, processor = _read(episodes, config, repeat)
                rates[name].append(config.clips * config.length / seconds)
                work[name].append(processor)
                if name == "store_first":
                    asked += blocks.shared().asked
    report: dict[str, Any] = {
        "frames_per_second": {name: round(statistics.median(some)) for name, some in rates.items()},
        "of_files": {name: _ratios(some, rates["files"]) for name, some in rates.items()},
        "processor_time_of_files": {name: _ratios(some, work["files"]) for name, some in work.items()},
        "seconds_to_open": opened,
        "store_bytes_a_frame": round(asked / (config.repeats * config.clips * config.length)),
    }
    words = ("episodes", "size", "clips", "length", "repeats")
    return {**{word: getattr(config, word) for word in words}, **report, "hardware": hardware()}


def _ratios(some: list[float], files: list[float]) -> dict[str, float]:
    ratios = [a / b for a, b in zip(some, files, strict=True)]
    found = {"least": min(ratios), "median": statistics.median(ratios), "most": max(ratios)}
    return {name: round(value, 3) for name, value in found.items()}


def _played(config: ReadingConfig, folder: Path) -> str:
    words = {"env": "labmaze", "out": folder, "episodes": config.episodes, "steps": config.frames - 1}
    collect.main([*(f"{key}={value}" for key, value in words.items()), f"size={config.size}", "workers=1"])
    return str(folder)


def _readers(
    config: ReadingConfig, data: str, shards: Path
) -> tuple[dict[str, list[Episode]], dict[str, float]]:
    """The same episodes as each reader has them, and how long it took to open them."""
    opened: dict[str, float] = {}

    def timed(name: str, work: Callable[[], list[Episode]]) -> list[Episode]:
        began = time.perf_counter()
        episodes = work()
        opened[name] = round(time.perf_counter() - began, 3)
        return episodes

    packing.make(packing.Config(data=data, out=str(shards)))
    found = {
        "files": timed("files", lambda: open_episodes(data)),
        "shards": timed("shards", lambda: open_episodes(shards)),
    }
    if config.store:
        if not addresses.is_address(config.store):
            raise ValueError(f"expected store= as an address, s3://BUCKET/FOLDER, found {config.store}")
        packing.make(packing.Config(data=data, out=config.store))
        found["store_first"] = timed("store", lambda: open_episodes(config.store))
        found["store"] = found["store_first"]
    return found, opened


def _read(episodes: list[Episode], config: ReadingConfig, seed: int) -> tuple[float, float]:
    """Seconds of the clock and of the processor that the clips of a round take."""
    rng = np.random.default_rng(seed)
    enough = [episode for episode in episodes if len(episode) >= config.length]
    began, worked = time.perf_counter(), time.process_time()
    for _ in range(config.clips):
        episode = enough[int(rng.integers(len(enough)))]
        start = int(rng.integers(len(episode) - config.length + 1))
        episode.frames(start, start + config.length)
    return time.perf_counter() - began, time.process_time() - worked
