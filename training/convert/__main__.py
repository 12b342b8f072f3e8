"""Convert data: python -m training.convert SRC DST --from teco_dmlab|teco_minecraft|vpt  or
  --to teco|minari|lerobot

--from reads every file of that format below the folder SRC and writes episodes into the folder DST; --to writes the
episodes in SRC (a folder or one .zip) as TECO's files, a Minari data set, or a LeRobot v3.0 one (video, lossy).
--size N is the side of imported pictures in pixels (64). What is in DST already is not converted again, so an
interrupted run goes on; a bad file is reported and skipped. --workers N converts in so many processes, --cluster
auto|ray://HOST:PORT on a Ray cluster (docs/cluster.md); Minari's and LeRobot's files are written by one process.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from envs.episodes.episode import Episode, EpisodeError
from training.convert import lerobot, minari, teco, vpt
from training.convert.recording import BadFile, Recording
from training.loop.claim import claim
from training.loop.cluster import HERE, LOCAL, Place, Task, started
from worldsim.cli.command import command

Reader = Callable[[Path, int], list[Recording]]
READERS: dict[str, tuple[str, Reader]] = {
    "teco_dmlab": ("*.npz", teco.read_dmlab),
    "teco_minecraft": ("*.mp4", teco.read_minecraft),
    "vpt": ("*.mp4", vpt.read),
}
Writer = Callable[[Episode, Path, str], Path]
WRITERS: dict[str, Writer] = {"teco": teco.write, "minari": minari.write, "lerobot": lerobot.write}
ORDERED = ("minari", "lerobot")  # formats in which an episode's number is that of all before it
FINISH: dict[str, Callable[[Path], None]] = {"lerobot": lerobot.finish}  # after the last file
LONGEST = 200  # bytes of a name: file systems take 255, and endings are added
DONE = ".done"  # folder of DST with a file for each source that was converted whole, which says what it was


class ConvertError(ValueError):
    """The command line asks for something that cannot be converted."""


@dataclass
class Counts:
    """How a run ended: sources converted, there before, bad."""

    converted: int = 0
    before: int = 0
    bad: int = 0

    def __str__(self) -> str:
        return f"{self.converted} converted, {self.before} were there already, {self.bad} bad and skipped"


@dataclass(frozen=True)
class Job:
    """One source file to be converted into ``folder`` under ``name``: from a format of others, or to one."""

    source: Path
    folder: Path
    name: str
    kind: str
    size: int = 0  # of imported pictures; 0 for the other direction
    origin: str = ""  # what is kept of the source once it is converted


def convert(job: Job) -> str:
    """Convert a file, and say in a small one that it is; a sentence where it is bad."""
    done = job.folder / DONE / job.name
    if done.exists():  # by a worker that died before it could say so
        return ""
    try:
        if job.size:
            _import(job)
        else:
            with Episode(job.source) as episode:
                if len(episode) < 2:
                    raise BadFile("expected an episode of at least one step")
                WRITERS[job.kind](episode, job.folder, job.name)
    except (BadFile, EpisodeError, OSError) as error:
        if isinstance(error, OSError) and not _of_source(error, job.source):
            raise
        return f"skipped {job.source}: {error}"
    done.write_text(job.origin, "utf-8")
    return ""


def _import(job: Job) -> None:
    found = READERS[job.kind][1](job.source, job.size)
    for i, recording in enumerate(found):
        part = job.name if len(found) == 1 else f"{job.name}-{i:03d}"
        if not (job.folder / f"{part}.zip").exists():
            recording.write(job.folder, part, job.kind)


def bring(source: Path, folder: Path, kind: str, size: int, place: Place = HERE) -> Counts:
    """Convert every file of a format below ``source`` into episodes in ``folder``."""
    pattern, _ = READERS[kind]
    files = sorted(p for p in source.rglob(pattern) if not p.name.startswith(".") and p.is_file())
    if not files:
        raise ConvertError(f"expected files {pattern} of {kind} below {source}, found none")
    return _each(files, source, folder, kind, size, place)


def take(source: Path, folder: Path, kind: str, place: Place = HERE) -> Counts:
    """Convert every episode in ``source`` into files of a format in ``folder``."""
    files = [source] if source.is_file() else sorted(source.glob("*.zip"))
    if not files:
        raise ConvertError(f"expected recorded episodes (*.zip) in {source}, found none")
    if kind in ORDERED and place != HERE:
        raise ConvertError(
            f"--to {kind} numbers episodes one after the other: leave --workers and --cluster out"
        )
    counts = _each(files, source if source.is_dir() else source.parent, folder, kind, 0, place)
    if kind in FINISH:
        FINISH[kind](folder)
    return counts


def _each(files: list[Path], root: Path, folder: Path, kind: str, size: int, place: Place) -> Counts:
    """Convert files, under names that say where in ``root`` they lay.

    Raises:
        FolderInUse: another process converts into ``folder``.
        ConvertError: what was converted under one of the names was another file, or converted otherwise.
    """
    counts, names = Counts(), _names(files, root)
    with (
        claim(folder),
        tqdm(total=len(files), unit="file", desc=str(folder)) as bar,
        started(place) as cluster,
    ):
        (folder / DONE).mkdir(exist_ok=True)
        missing = [path for path in files if not (folder / DONE / names[path]).exists()]
        for path in files:
            if (done := folder / DONE / names[path]).exists():
                _check_origin(done, _origin(path, kind, size), folder)
        counts.before = len(files) - len(missing)
        bar.update(counts.before)
        jobs = (Job(p, folder, names[p], kind, size, json.dumps(_origin(p, kind, size))) for p in missing)
        for _, bad in cluster.run(Task(job.name, convert, (job,)) for job in jobs):
            if bad:
                counts.bad += 1
                bar.write(bad, file=sys.stderr)
            else:
                counts.converted += 1
            bar.update()
    return counts


def _origin(source: Path, kind: str, size: int) -> dict[str, Any]:
    """Which file is converted, and into what; another one may have its name below another folder."""
    return {
        "source": str(Path.cwd() / source),
        "bytes": source.stat().st_size if source.exists() else 0,
        "format": kind,
        "size": size,
    }


def _check_origin(done: Path, origin: dict[str, Any], folder: Path) -> None:
    """Whether what was converted under a name is this file; what says nothing of it, as before, is taken to be it.

    Raises:
        ConvertError: it was another file, or converted otherwise.
    """
    try:
        before = json.loads(done.read_text("utf-8"))
    except ValueError:
        return
    if not isinstance(before, dict):
        return
    if other := [key for key in origin if before.get(key, origin[key]) != origin[key]]:
        made, asked = (" ".join(f"{key}={of[key]}" for key in other) for of in (before, origin))
        raise ConvertError(
            f"{folder} has {done.name} already, converted from {made}, and now it is {asked}; choose another folder"
        )


def _names(files: list[Path], root: Path) -> dict[Path, str]:
    """A name for each file, by where it lies; two that would have one name, and long ones, end in digits of a hash."""
    plain = {path: "-".join(path.relative_to(root).with_suffix("").parts) for path in files}
    often = Counter(plain.values())
    return {
        path: name if often[name] == 1 and _fits(name) else _short(name, path) for path, name in plain.items()
    }


def _fits(name: str) -> bool:
    return len(os.fsencode(name)) <= LONGEST


def _short(name: str, path: Path) -> str:
    digits = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    while not _fits(name):
        name = name[:-1]
    return f"{name}-{digits}"


def _of_source(error: OSError, path: Path) -> bool:
    """Whether it is the source that cannot be read, or a file beside it."""
    return isinstance(error.filename, str) and Path(error.filename).with_suffix("") == path.with_suffix("")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConvertError(f"{message}; see worldsim convert --help")


@command
def main(words: list[str]) -> int:
    """Parse, convert, count; exit code 1 where nothing but bad files was found."""
    parser = _Parser(prog="training.convert", allow_abbrev=False, add_help=False)
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--from", dest="kind", choices=READERS)
    way.add_argument("--to", choices=WRITERS)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--cluster", default=LOCAL)
    asked = parser.parse_args(words)
    if not asked.source.exists():
        raise FileNotFoundError(2, "no such file or folder", str(asked.source))
    if not 8 <= asked.size <= 1024:
        raise ConvertError(f"expected --size from 8 to 1024, found {asked.size}")
    if asked.workers < 1:
        raise ConvertError(f"expected --workers of at least 1, found {asked.workers}")
    source, folder, place = asked.source, asked.folder, Place(asked.cluster, asked.workers)
    ours = asked.to is not None
    counts = (
        take(source, folder, asked.to, place)
        if ours
        else bring(source, folder, asked.kind, asked.size, place)
    )
    print(f"{counts}, in {folder}")
    return 1 if counts.bad and not counts.converted + counts.before else 0


if __name__ == "__main__":
    sys.exit(main())
