"""Make or refresh the index of a folder of episodes, and pack them into shards: python -m training.index data=FOLDER

    python -m training.index data=s3://bucket/blocks                      # index what lies there, where it lies
    python -m training.index data=data/blocks out=s3://bucket/blocks      # pack into shards of 256 MiB, with an index

FOLDER is a path or an address (s3://, gs://, hf://, memory://). `shard_mb=256` is the most that a shard holds, unless
one episode is larger. A shard is a plain tar of episodes. What the index of the folder knows already is neither read
nor packed again; a command that was killed goes on after its last whole shard. One process at a time.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import MISSING
from tqdm import tqdm

from envs.episodes.episode import Episode, EpisodeError
from training.data import index
from training.data.episodes import DataError
from training.data.index import Row
from training.loop.claim import claim
from worldsim.cli.command import command
from worldsim.config import addresses, load
from worldsim.config.addresses import Entry

SHARD = re.compile(r"shard-(\d{5,9})\.tar")


@dataclass
class Config:
    """``out`` is empty for an index of the episodes where they lie."""

    data: str = MISSING
    out: str = ""
    shard_mb: int = 256

    def __post_init__(self) -> None:
        if self.shard_mb < 1:
            raise ValueError(f"expected shard_mb of at least 1, found {self.shard_mb}")


@dataclass(frozen=True)
class Made:
    """What a run did: episodes indexed, those there before, shards written, and why others were left out."""

    rows: int
    before: int
    shards: int
    bad: list[str]


def make(config: Config) -> Made:
    """Index what is new in ``data``; with ``out``, pack it into shards there.

    Raises:
        DataError: there is no episode, or one of another world than those of the index.
        StoreError: a store cannot be spoken to.
    """
    lie, known = index.entries(config.data), index.read(config.data)
    into = config.out or config.data
    have = {row.name: row for row in (index.read(into) if config.out else known)}
    others = index.loose(known, lie)
    sources = _sources(known, others, lie) if config.out else others.items()
    bad: list[str] = []
    made = _pack if config.out else _in_place
    before = dict(have)
    with tempfile.TemporaryDirectory(prefix="worldsim-index-") as folder:
        shards = made(config, dict(sources), have, Path(folder), bad)
    if not have:
        raise DataError(f"no episode (*.zip) in {config.data}; make some with `worldsim collect`")
    new = sum(before.get(name) != row for name, row in have.items())
    return Made(new, len(have) - new, shards, bad)


def _sources(rows: list[Row], others: dict[str, Entry], lie: dict[str, Entry]) -> dict[str, Entry | Row]:
    """Every episode of a folder by the name of its file: its row, or the file."""
    found: dict[str, Entry | Row] = {
        f"{row.name}.zip": row for row in rows if row.shard not in others and row.shard in lie
    }
    return dict(sorted((found | others).items()))


def _in_place(
    config: Config, sources: dict[str, Entry | Row], have: dict[str, Row], folder: Path, bad: list[str]
) -> int:
    there = index.entries(config.data)
    for name in [name for name, row in have.items() if row.shard not in there]:
        del have[name]
    worlds = {row.world for row in have.values()}
    for file, entry in tqdm(sources.items(), "index", unit="episode"):
        assert isinstance(entry, Entry)
        if (data := _fetched(config.data, file, entry, bad)) is not None and (
            row := _read(data, file, folder, bad)
        ):
            _check_world(row, worlds, config.data)
            have[row.name] = replace(row, shard=file, tag=entry.tag)
    index.write(config.data, have.values())
    return 0


def _check_world(row: Row, known: set[str], folder: str) -> None:
    """Whether an episode may stand in an index beside those of these worlds.

    Raises:
        DataError: it is of another one.
    """
    if known and row.world not in known:
        raise DataError(
            f"{folder} holds episodes of {', '.join(sorted(known))}, and {row.name} is of {row.world}; "
            "an index is of one world: choose another folder"
        )


def _pack(
    config: Config, sources: dict[str, Entry | Row], have: dict[str, Row], folder: Path, bad: list[str]
) -> int:
    numbers = (int(found[1]) for row in have.values() if (found := SHARD.fullmatch(row.shard)))
    number, shards = max(numbers, default=-1) + 1, 0
    for group in _groups(_new(config, sources, have, folder, bad), config.shard_mb * 2**20):
        name = f"shard-{number:05d}.tar"
        rows = _write_shard(folder / name, [data for _, data in group], [row for row, _ in group])
        if addresses.is_address(config.out):
            addresses.upload(folder / name, addresses.join(config.out, name))
            (folder / name).unlink()
        else:
            _move(folder / name, addresses.local_path(config.out) / name)
        have |= {row.name: row for row in rows}
        index.write(config.out, have.values())
        number, shards = number + 1, shards + 1
    return shards


def _new(
    config: Config, sources: dict[str, Entry | Row], have: dict[str, Row], folder: Path, bad: list[str]
) -> Iterator[tuple[Row, bytes]]:
    """What is not packed yet, with its bytes."""
    worlds = {row.world for row in have.values()}
    for file, source in tqdm(sources.items(), "pack", unit="episode"):
        packed = have.get(file.removesuffix(".zip"))
        if packed is not None and _same(packed, source):
            continue
        if (data := _fetched(config.data, file, source, bad)) is None:
            continue
        if row := _read(data, file, folder, bad):
            _check_world(row, worlds, config.out)
            yield replace(row, tag=source.tag), data


def _same(packed: Row, source: Entry | Row) -> bool:
    """Whether an episode that is packed already is this one, as far as can be said without reading it."""
    if isinstance(source, Row):
        return packed.sha256 == source.sha256
    return (packed.bytes, packed.tag) == (source.size, source.tag)


def _fetched(folder: str, file: str, source: Entry | Row, bad: list[str]) -> bytes | None:
    """The bytes of an episode; None, and why, where they are not there or not those of the index."""
    at, start = (source.shard, source.offset) if isinstance(source, Row) else (file, 0)
    stop = start + (source.bytes if isinstance(source, Row) else source.size)
    if addresses.is_address(folder):
        data = addresses.read(addresses.join(folder, at), start, stop)
    else:
        try:
            with (addresses.local_path(folder) / at).open("rb") as opened:
                opened.seek(start)
                data = opened.read(stop - start)
        except OSError as error:
            bad.append(f"{file}: {error}")
            return None
    if isinstance(source, Row) and hashlib.sha256(data).hexdigest() != source.sha256:
        bad.append(f"{file} in {at} is not what was packed, by its checksum")
        return None
    return data


def _read(data: bytes, file: str, folder: Path, bad: list[str]) -> Row | None:
    """The row of an episode, after all of it was read once; None, and why, where it is damaged."""
    path = folder / file
    path.write_bytes(data)
    try:
        with Episode(path) as episode:
            episode.verify()
            return index.row_of(episode, hashlib.sha256(data).hexdigest(), len(data), "", 0)
    except EpisodeError as error:
        bad.append(str(error).replace(str(path), file))
        return None
    finally:
        path.unlink()


def _groups(some: Iterator[tuple[Row, bytes]], most: int) -> Iterator[list[tuple[Row, bytes]]]:
    group: list[tuple[Row, bytes]] = []
    held = 0
    for row, data in some:
        if group and held + len(data) > most:
            yield group
            group, held = [], 0
        group.append((row, data))
        held += len(data)
    if group:
        yield group


def _write_shard(path: Path, members: list[bytes], rows: list[Row]) -> list[Row]:
    """A tar of these episodes, the same bytes each time; their rows, which say where each lies."""
    found = []
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for row, data in zip(rows, members, strict=True):
            member = tarfile.TarInfo(f"{row.name}.zip")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
            begins = tar.offset - -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            found.append(replace(row, shard=path.name, offset=begins))
    return found


def _move(file: Path, to: Path) -> None:
    """Bring a file into a folder of this machine, whole or not at all."""
    new = to.with_name(f"{to.name}.new")
    to.parent.mkdir(parents=True, exist_ok=True)
    with file.open("rb") as source, new.open("wb") as target:
        while part := source.read(2**22):
            target.write(part)
    new.replace(to)
    file.unlink()


@command
def main(args: list[str]) -> None:
    """Parse, index, count."""
    config = load(Config, args)
    into = config.out or config.data
    if addresses.is_address(into):
        made = make(config)
    else:
        with claim(addresses.local_path(into)):
            made = make(config)
    if made.bad:
        print(f"{len(made.bad)} left out, the first because {made.bad[0]}", file=sys.stderr)
    line = {"episodes": made.rows, "before": made.before, "shards": made.shards, "left_out": len(made.bad)}
    print(json.dumps({"index": addresses.join(into, index.INDEX), **line}))


if __name__ == "__main__":
    sys.exit(main())
