"""The study's unit of work: one pass over one episode, one JSON file, written whole or not at all.

A kill in the middle loses at most the episodes that were being dreamt; the same command goes on with the rest and ends
in the same numbers. Each file says what it was made from; one made from anything else is refused, never mixed in.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from envs.episodes.episode import Episode
from training.evaluation.reconstruct import reconstruct
from training.loop.cluster import Place, Task, started
from training.study import backbones
from training.study.config import StudyError
from training.study.needle import Played, maze_scorer, play_needle
from training.study.rollout import play_rollout
from training.study.rows import TWIN, WORLD, Row, method_of
from worldsim.checkpoint import Loaded
from worldsim.dream.env import Dream
from worldsim.dream.registry import Options, Source

FORMAT = 1
NEEDLE, ROLLOUT = "needle", "rollout"


@dataclass(frozen=True)
class Unit:
    """One pass over one episode.

    ``rows`` are dreamt together from the checkpoint at ``path`` whose weights have the fingerprint ``mark``;
    ``space`` is the checkpoint whose autoencoder gives the features, the same for all rows, and ``space_mark`` its
    fingerprint. ``steps`` are denoising steps, for a method at most so many and 0 for its own; ``seeds`` are several
    for a rollout. Without ``second`` a world model's second denoiser never takes over, and ``mark`` leaves it out.
    """

    kind: str
    group: str
    rows: tuple[Row, ...]
    path: str
    mark: str
    space: str
    space_mark: str
    episode: str
    out: str
    env: str
    steps: int
    pose_from: str
    seeds: tuple[int, ...]
    context: int = 0
    length: int = 0
    device: str = "cpu"
    second: bool = False

    @property
    def file(self) -> Path:
        """Where its record lies; its strip of pictures lies beside it."""
        return Path(self.out) / f"{self.kind}-{self.group}" / f"{Path(self.episode).stem}.json"

    @property
    def header(self) -> dict[str, Any]:
        """All that its numbers depend on."""
        rows = [[r.name, r.history, r.budget, r.preset, list(r.words)] for r in self.rows]
        about = {
            "format": FORMAT,
            "kind": self.kind,
            "episode": Path(self.episode).stem,
            "checkpoint": self.mark,
        }
        about["features"] = self.space_mark
        about |= {"rows": rows, "steps": self.steps, "pose_from": self.pose_from, "seeds": list(self.seeds)}
        return about | {"context": self.context, "length": self.length}

    def done(self) -> bool:
        """Whether its record is on disk.

        Raises:
            StudyError: a record of something else lies there.
        """
        if not self.file.exists():
            return False
        found = json.loads(self.file.read_text())["header"]
        wrong = [key for key, value in self.header.items() if found.get(key) != value]
        if wrong:
            raise StudyError(
                f"{self.file} was made with another {' and '.join(wrong)}; choose another out= or delete "
                f"{self.file.parent}"
            )
        return True

    def record(self) -> dict[str, Any]:
        """What is on disk."""
        found: dict[str, Any] = json.loads(self.file.read_text())
        return found


def play(unit: Unit) -> Unit:
    """Dream it, measure it, write it; done already by a worker that died before it could say so, leave it."""
    if unit.done():
        return unit
    loaded = backbones.load(unit.path, unit.device)
    with torch.inference_mode():
        played = _needle(unit, loaded) if unit.kind == NEEDLE else _rollout(unit, loaded)
    write(unit, played)
    return unit


def write(unit: Unit, played: Played) -> None:
    """The strip first, then the record, which says that all is there."""
    unit.file.parent.mkdir(parents=True, exist_ok=True)
    rows, columns, high, wide, _ = played.strip.shape
    picture = played.strip.transpose(0, 2, 1, 3, 4).reshape(rows * high, columns * wide, 3)
    Image.fromarray(np.ascontiguousarray(picture)).save(unit.file.with_suffix(".png"))
    new = unit.file.with_suffix(".new")
    new.write_text(json.dumps({"header": unit.header, **played.record}))
    new.replace(unit.file)


def dream_of(unit: Unit, row: Row, loaded: Loaded[Any]) -> Dream[Any]:
    """A fresh dream with a row's dials.

    Raises:
        DreamError: dials that the model does not have.
    """
    source, seed = Source(unit.path, loaded), unit.seeds[0]
    if row.backbone == WORLD:
        window = loaded.model.config.denoiser.window
        history = window if row.history == TWIN else row.history
        budget = history if row.budget is None else row.budget
        return source.dream(
            Options(second=unit.second, spacing=row.spacing),
            seed=seed,
            history=history,
            budget=budget,
            denoising_steps=unit.steps,
            pose_from=unit.pose_from,
        )
    return source.dream(Options(method=method_of(row, unit.steps)), seed=seed)


def play_all(units: list[Unit], place: Place, until: float = 0.0) -> Iterator[Unit]:
    """Every unit as it is done, where ``place`` says, on one thread each; none is begun after ``until``.

    ``until`` is on time.monotonic's clock, 0 for no limit.

    Raises:
        what the first unit raised that cannot be played, after all the others.
    """

    def begun() -> Iterator[Task]:
        for unit in units:
            if until and time.monotonic() > until:
                return
            yield Task(str(unit.file), play, (unit,))

    with started(place) as cluster:
        for _, unit in cluster.run(begun()):
            yield unit


def _needle(unit: Unit, loaded: Loaded[Any]) -> Played:
    episode = Episode(unit.episode)
    dreams = {row.name: dream_of(unit, row, loaded) for row in unit.rows}
    scorer = maze_scorer(episode) if unit.env == "labmaze" else None
    encode = backbones.load(unit.space, unit.device).encode
    bounds = partial(reconstruct, loaded) if unit.group == WORLD else None
    return play_needle(dreams, encode, episode, unit.seeds[0], scorer, bounds)


def _rollout(unit: Unit, loaded: Loaded[Any]) -> Played:
    rows = {row.name: row for row in unit.rows}
    return play_rollout(
        lambda name: dream_of(unit, rows[name], loaded),
        list(rows),
        backbones.load(unit.space, unit.device).encode,
        Episode(unit.episode),
        unit.context,
        unit.length,
        list(unit.seeds),
    )
