"""One episode of an evaluation as a task of any process: played, and kept under a name of all that it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from envs.episodes.episode import Episode
from training.evaluation import scores
from training.evaluation.ahead import ahead_player
from training.evaluation.config import ALL, Config, dream_of
from training.evaluation.free_running import free_run
from training.evaluation.needle import needle_player
from worldsim.dream import registry
from worldsim.dream.registry import Source
from worldsim.metrics.perceptual import Perceptual
from worldsim.runtime import pick_device, use_threads

AHEAD, NEEDLE, FREE_RUNNING = "ahead", "needle", "alone"
WHERE = ("out", "strips", "workers", "cluster", "episodes", AHEAD, NEEDLE, FREE_RUNNING)
"""Words that change no episode's numbers."""


@dataclass(frozen=True)
class Part:
    """One pass over one episode.

    Attributes:
        kind: ``ahead``, ``needle`` or ``alone``.
        config: as for all the others.
        episode: its file; like: that of one of the same folder, the same for all.
        index: of the episode in its folder.
        kept: the folder that keeps what it gave, empty for none.
        mark: of the model, its weights and what it says of itself.
    """

    kind: str
    config: Config
    episode: str
    like: str
    index: int
    kept: str = ""
    mark: str = ""

    @property
    def name(self) -> str:
        """Of all that its numbers depend on."""
        words = {key: value for key, value in asdict(self.config).items() if key not in WHERE}
        with Episode(self.episode) as episode:
            said = [self.kind, self.index, words, self.mark, episode.meta.get("sha256")]
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]
        return f"{self.kind}-{Path(self.episode).stem}-{digest}"


def play(part: Part) -> Any:
    """What the episode gave: a row of scores, or for ``alone`` frames; kept where that is asked for."""
    file = Path(part.kept) / f"{part.name}{'.npy' if part.kind == FREE_RUNNING else '.json'}"
    if part.kept and file.exists():
        return _read(file)
    config = part.config
    use_threads(config.threads)
    with Episode(part.episode) as episode:
        found = _player(part.kind, json.dumps(asdict(config)), part.like)(episode, part.index)
    if part.kept:
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(f".{file.name}.new")
        with new.open("wb") as stream:
            if part.kind == FREE_RUNNING:
                np.save(stream, found)
            else:
                stream.write(json.dumps([[*key, values] for key, values in found.items()]).encode())
        new.replace(file)
    return found


_SOURCES: dict[tuple[str, str, str], Source] = {}


def source_of(checkpoint: str, device: str, method: str) -> Source:
    """What dreams are made of, once a process for all methods of a video model; :func:`worldsim.dream.registry.find`
    has the errors."""
    key = (checkpoint, device, method if method in ("", registry.PAIR) else ALL)
    if key not in _SOURCES:
        _SOURCES[key] = registry.find(checkpoint, torch.device(device), method)
    return _SOURCES[key]


@lru_cache(maxsize=1)
def networks_of(asked: str, device: str) -> Perceptual | None:
    """:func:`training.evaluation.scores.networks`, once a process."""
    return scores.networks(asked, torch.device(device))


def forget() -> None:
    """Let go of all models: a checkpoint may be another one the next time."""
    _SOURCES.clear()
    networks_of.cache_clear()
    _player.cache_clear()


@lru_cache(maxsize=3)
def _player(kind: str, words: str, like: str) -> Callable[[Episode, int], Any]:
    config = Config(**json.loads(words))
    device = str(pick_device(config.device))
    source = source_of(config.checkpoint, device, config.method)
    networks = networks_of(config.perceptual, device)
    with Episode(like) as first:
        if kind == FREE_RUNNING:
            dream = dream_of(source, config, [first])
            return lambda episode, i: free_run(dream, episode, config.context, config.seed + i)
        player: Callable[[Episode], Any]
        if kind == AHEAD:
            player = ahead_player(source, first, config, networks)
        else:
            player = needle_player(source, first, config, networks)
    return lambda episode, i: player(episode)


def _read(file: Path) -> Any:
    if file.suffix == ".npy":
        return np.load(file, allow_pickle=False)
    rows = json.loads(file.read_text())
    return {(tuple(key) if isinstance(key, list) else key, name): values for key, name, values in rows}
