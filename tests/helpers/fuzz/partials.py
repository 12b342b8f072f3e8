"""Mutated ``.partial`` folders, as crashes and others leave them, through what seals them."""

from __future__ import annotations

import contextlib
import io
import os
import random
from pathlib import Path

from envs.episodes.episode import Episode, EpisodeError, seal_partials
from tests.helpers.fuzz import mutate
from tests.helpers.fuzz.episodes import record
from tests.helpers.fuzz.guard import Watch, go


def one(case: int, seed: int, folder: Path, watch: Watch) -> None:
    """Make one mutated folder between two good ones, and seal all; what comes of it must be whole episodes."""
    rng = random.Random(f"partial {seed} {case}")
    data = folder / "data"
    for name in ("a", "m", "z"):
        record(data, name, rng.choice(("dmlab", "minecraft")), rng.choice((1, 4))).close()
    _damage(data / "m.partial", rng)

    def sealing() -> bool:
        with contextlib.redirect_stderr(io.StringIO()):
            sealed = seal_partials(data)
            again = seal_partials(data)
        assert {"a.zip", "z.zip"} <= {p.name for p in sealed}, "a good neighbour was not sealed"
        assert not again, "sealed twice"
        for path in sealed:
            with Episode(path) as episode, contextlib.suppress(*([EpisodeError] if path.stem == "m" else [])):
                episode.verify()  # a picture of the mutated one may be whole, and still show nothing
                episode.frames()
        return any(p.stem == "m" for p in sealed)

    go(watch, case, folder, sealing, ())


def _damage(partial: Path, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 2))):
        files = sorted(p for p in partial.rglob("*") if p.is_file())
        if not files:
            return
        path = rng.choice([*files, partial / "meta.json", partial / "steps.jsonl"])
        if not path.is_file():
            continue
        way = rng.random()
        if way < 0.08:
            path.unlink()
        elif way < 0.14:
            path.unlink()
            rng.choice(
                (path.mkdir, lambda p=path: os.mkfifo(p), lambda p=path: p.symlink_to("/etc/passwd"))
            )()
        elif path.suffix == ".json":
            path.write_bytes(mutate.some_json(path.read_bytes(), rng))
        elif path.suffix == ".jsonl":
            path.write_bytes(mutate.some_lines(path.read_bytes(), rng))
        else:
            path.write_bytes(mutate.some_picture(path.read_bytes(), rng))
