"""The index of a folder of episodes: a Parquet table with a row an episode, which says what it is and where it lies.

A folder with an index is opened by two requests. Episodes lie in shards (plain tars) or as files of their own; those
that the index does not know, or that were changed since, are found by listing, as in a folder without one.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from envs.episodes.episode import Episode, EpisodeError
from envs.episodes.section import FileSection, Section
from training.data.blocks import StoredSection
from worldsim.config import addresses
from worldsim.config.addresses import Entry

INDEX = "index.parquet"
LARGEST = 2**40
"""Bytes of a shard or an offset."""


class IndexDamaged(ValueError):
    """An index that cannot be read."""


@dataclass(frozen=True)
class Row:
    """One episode.

    ``name`` is that of its file without ``.zip``; ``world``, ``seed`` (a text, for some are longer than any number of
    Parquet) and ``policy`` are what its meta.json says, all of which stands in ``meta``; ``frames``; ``size``, the side
    of its pictures in pixels; ``posed``, whether it tells poses; ``bytes`` and ``sha256`` of the zip, which begins at
    ``offset`` of the file ``shard``, a shard or the zip itself. ``tag`` marks the zip as it was when it was read.
    """

    name: str
    world: str
    seed: str
    policy: str
    frames: int
    size: int
    posed: bool
    bytes: int
    sha256: str
    shard: str
    offset: int
    tag: str
    meta: str


def row_of(episode: Episode, sha256: str, length: int, shard: str, offset: int, tag: str = "") -> Row:
    """The row of an episode that lies there."""
    m = episode.meta
    return Row(
        episode.path.stem,
        str(m["env_id"]),
        str(m["seed"]),
        str(m.get("policy", "")),
        len(episode),
        int(m["size"]),
        episode.posed,
        length,
        sha256,
        shard,
        offset,
        tag,
        json.dumps(m),
    )


def read(folder: str) -> list[Row]:
    """The rows of a folder's index, by name; none where it has no index.

    Raises:
        IndexDamaged: it is no table of episodes, or pyarrow is not installed.
        StoreError: the store cannot be spoken to.
    """
    if addresses.is_address(folder):
        address = addresses.join(folder, INDEX)
        data = addresses.read(address) if addresses.entry(address) is not None else None
    else:
        file = addresses.local_path(folder) / INDEX
        data = file.read_bytes() if file.is_file() else None
    return [] if data is None else sorted(_rows(data, folder), key=lambda row: row.name)


def write(folder: str, rows: Iterable[Row]) -> None:
    """Write the index of a folder, whole or not at all.

    Raises:
        IndexDamaged: pyarrow is not installed.
        StoreError: the store cannot be written.
    """
    arrow, parquet = _arrow(folder)
    ordered = [asdict(row) for row in sorted(rows, key=lambda row: row.name)]
    types = {"str": arrow.string(), "int": arrow.int64(), "bool": arrow.bool_()}
    schema = arrow.schema([(f.name, types[str(f.type)]) for f in fields(Row)])
    packed = io.BytesIO()
    parquet.write_table(arrow.Table.from_pylist(ordered, schema), packed, compression="zstd")
    if addresses.is_address(folder):
        addresses.write(addresses.join(folder, INDEX), packed.getvalue())
        return
    file = addresses.local_path(folder) / INDEX
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(INDEX + ".new")
    new.write_bytes(packed.getvalue())
    new.replace(file)


def episodes(folder: str, rows: list[Row], lie: dict[str, Entry]) -> list[Episode]:
    """The episodes of these rows, none of them opened yet, in a folder of these files (:func:`entries`).

    Raises:
        EpisodeError: a row describes none.
    """
    found = []
    for row in rows:
        if (entry := lie.get(row.shard)) is None or row.offset + row.bytes > entry.size:
            raise EpisodeError(
                f"{folder}: {row.name} is not where {INDEX} says it is, {row.shard} at {row.offset}; "
                f"run `worldsim index data={folder}`"
            )
        where = section(folder, row.name, row.shard, entry, row.offset, row.bytes)
        found.append(Episode(shown(folder, row.name), where, (json.loads(row.meta), row.posed)))
    return found


def section(folder: str, name: str, file: str, entry: Entry, offset: int, size: int) -> Section:
    """Bytes of a file of a folder, here or in a store."""
    if addresses.is_address(folder):
        return StoredSection(f"{name}.zip", addresses.join(folder, file), entry, offset, size)
    return FileSection(f"{name}.zip", addresses.local_path(folder) / file, offset, size)


def loose(rows: list[Row], lie: dict[str, Entry]) -> dict[str, Entry]:
    """The zips among the files of a folder that its index does not know as they are now, sorted."""
    known = {row.shard: row for row in rows}
    here = {row.name for row in rows if row.shard != f"{row.name}.zip"}
    return {
        file: entry
        for file, entry in sorted(lie.items())
        if file.endswith(".zip")
        and file.removesuffix(".zip") not in here
        and (file not in known or (known[file].bytes, known[file].tag) != (entry.size, entry.tag))
    }


def entries(folder: str) -> dict[str, Entry]:
    """The files of a folder, here or in a store, by name.

    Raises:
        StoreError: the store cannot be spoken to.
    """
    if addresses.is_address(folder):
        return addresses.entries(folder)
    found = {}
    place = addresses.local_path(folder)
    for path in place.iterdir() if place.is_dir() else ():
        try:
            status = path.stat()
        except OSError:  # a link to nothing
            found[path.name] = Entry(0, "")
            continue
        found[path.name] = Entry(status.st_size, str(status.st_mtime_ns))
    return found


def open_loose(folder: str, file: str, entry: Entry) -> Episode:
    """A zip of a folder that stands in no index; its meta.json is read.

    Raises:
        EpisodeError: it is no whole episode.
        SectionLost: the store cannot be spoken to.
    """
    if not addresses.is_address(folder):
        return Episode(addresses.local_path(folder) / file)
    name = file.removesuffix(".zip")
    return Episode(shown(folder, name), section(folder, name, file, entry, 0, entry.size))


def shown(folder: str, name: str) -> Path:
    """What an episode is told of as."""
    return addresses.local_path(folder) / f"{name}.zip"


def _rows(data: bytes, folder: str) -> list[Row]:
    arrow, parquet = _arrow(folder)
    try:
        table = parquet.read_table(io.BytesIO(data), columns=[f.name for f in fields(Row)])
        rows = [Row(**row) for row in table.to_pylist()]
        for row in rows:
            _check(row)
    except (arrow.ArrowException, OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise IndexDamaged(
            f"{addresses.join(folder, INDEX)} is no index of episodes: {reason}; "
            f"run `worldsim index data={folder}`"
        ) from None
    return rows


def _check(row: Row) -> None:
    """Whether a row names a file of its own folder and a part of it, and its meta is an object."""
    if not all(
        isinstance(getattr(row, f.name), {"str": str, "int": int, "bool": bool}[str(f.type)])
        for f in fields(Row)
    ):
        raise ValueError(f"a row lacks something: {row.name!r}")
    for part in (row.shard, row.name):
        if not part or "/" in part or "\\" in part or part.startswith(".") or "\0" in part:
            raise ValueError(f"{part!r} is no name of a file of this folder")
    if not 0 <= row.offset <= LARGEST or not 0 < row.bytes <= LARGEST:
        raise ValueError(f"{row.name} is said to lie at {row.offset}, {row.bytes} bytes long")
    if not isinstance(json.loads(row.meta), dict):
        raise ValueError(f"the meta of {row.name} is no object")


def _arrow(folder: str) -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise IndexDamaged(
            f"the index of {folder} takes pyarrow, which is not here ({error}): pip install pyarrow"
        ) from None
    return pyarrow, pyarrow.parquet
