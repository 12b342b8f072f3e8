"""Mutated episodes through every door that reads them: reading, replay, training, converting."""

from __future__ import annotations

import contextlib
import io
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from envs import actions
from envs.episodes.episode import Episode, EpisodeError, EpisodeWriter
from envs.policies.registry import Replay
from envs.worlds import _recorded
from tests.helpers.fuzz import mutate
from tests.helpers.fuzz.guard import Watch, go
from training.convert.__main__ import main as convert
from training.data.episodes import DataError, open_episodes, returning_frames
from worldsim.actions import ActionSpecMismatch
from worldsim.session.sinks.replay_check import ReplayCheck

SPECS = {family: actions.spec(actions.space(family), family) for family in ("minecraft", "dmlab")}


def record(folder: Path, name: str, family: str = "dmlab", steps: int = 4, side: int = 16) -> EpisodeWriter:
    """A recording, not yet sealed."""
    rng = np.random.default_rng(len(name))
    meta = {
        **{
            "env_id": "worldsim/Test-v0",
            "env_version": 1,
            "env_kwargs": {"size": side},
            "backend": "embedded",
        },
        **{"family": family, "seed": 3, "size": side, "fov": 70.0, "action_spec": SPECS[family]},
    }
    writer = EpisodeWriter(folder, name, meta, [actions.noop(family)] * 2)
    for i in range(steps + 1):
        picture = rng.integers(0, 255, (side, side, 3), np.uint8)
        move = actions.noop(family)
        if family == "dmlab":
            move[3] = 1
        writer.add(move, picture, np.full(5, i / 2)) if i else writer.first(picture, np.zeros(5))
    return writer


def one(case: int, seed: int, folder: Path, watch: Watch) -> None:
    """Make one mutated episode beside a good one, and go through every door."""
    rng = random.Random(f"episode {seed} {case}")
    data = folder / "data"
    family = rng.choice(("dmlab", "minecraft"))
    good = record(data, "neighbour", family).seal()
    bad = record(data, rng.choice(("a", "z")), family, rng.choice((1, 4))).seal()
    _damage(bad, rng)
    own = (EpisodeError, FileNotFoundError, PermissionError)
    go(watch, case, folder, _reading(bad), own)
    go(watch, case, folder, _replay(bad), (*own, ValueError))
    go(watch, case, folder, _training(data, good), (DataError, ActionSpecMismatch, EpisodeError))
    go(watch, case, folder, _converting(data, folder / "out", "teco" if case % 4 else "lerobot"), ())


def _damage(path: Path, rng: random.Random) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    way = rng.random()
    if way < 0.25:
        path.write_bytes(mutate.some_bytes(path.read_bytes(), rng))
        return
    if way < 0.28:
        path.unlink()
        make = rng.choice(
            (path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to("/nowhere"), path.touch)
        )
        make()
        return
    if way < 0.45:
        path.write_bytes(mutate.repacked(members, rng))
        return
    names = rng.sample(sorted(members), rng.choice((1, 1, 2)))
    for name in names:
        if way > 0.75 and rng.random() < 0.7:
            name = "meta.json"
        change: Callable[[bytes, random.Random], bytes] = mutate.some_bytes
        if name == "meta.json":
            change = mutate.some_json
        elif name == "steps.npz":
            change = mutate.some_arrays
        elif name.endswith(".png"):
            change = mutate.some_picture
        members[name] = change(members[name], rng)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _reading(path: Path) -> Callable[[], bool]:
    def reading() -> bool:
        with Episode(path) as episode:
            episode.verify()
            episode.frames()
            vectors = episode.action_vectors()
            [episode.action(i) for i in range(len(vectors))]
            _ = episode.prelude, returning_frames(episode.poses)
        return True

    return reading


def _replay(path: Path) -> Callable[[], bool]:
    def replay() -> bool:
        episode = Episode(path)
        _recorded(episode, {})
        played = Replay(None, episode=episode)  # type: ignore[arg-type]
        ReplayCheck(episode)
        played.reset({})
        while not played.done:
            played(None, {})
        for i in range(len(episode)):
            episode.frames(i, i + 1)
        return True

    return replay


def _training(folder: Path, good: Path) -> Callable[[], bool]:
    def training() -> bool:
        with contextlib.redirect_stderr(io.StringIO()):
            found = open_episodes(folder)
        assert good in {e.path for e in found}, "a good neighbour was left out"
        for episode in found:
            episode.frames()
            episode.action_vectors()
        return True

    return training


def _converting(folder: Path, out: Path, kind: str) -> Callable[[], bool]:
    def converting() -> bool:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            code = convert([str(folder), str(out), "--to", kind])
        assert code == 0, f"exit code {code}: the good neighbour was not converted"
        return True

    return converting
