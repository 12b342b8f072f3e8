"""Sealing a recording: what an append-only folder holds becomes one zip, at once or not at all.

It streams: however long the recording is, one picture and the numbers of its steps are in memory.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from envs.episodes import limits
from envs.episodes.archive import open_archive, read_member
from envs.episodes.described import checked
from envs.episodes.format import (
    META,
    PRELUDE_LINES,
    STEP_LINES,
    STEPS,
    SUMS,
    EpisodeError,
    frame_name,
)
from envs.episodes.lines import Steps, numbers

try:
    import fcntl
except ImportError:  # no advisory locks on this system: two writers must not share a folder there
    fcntl = None  # type: ignore[assignment]

PARTIAL, DAMAGED = ".partial", ".damaged"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_RGB = bytes((8, 2))  # bits of a channel, and the kind of picture, as a PNG says it
_PNG_BEGIN, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


def seal_partials(directory: str | Path) -> list[Path]:
    """Seal what a crash left behind in ``directory``: every finished frame, and the steps between them.

    Folders that a living process is writing or sealing, links, and folders that are no recordings, are left alone. One
    whose meta.json is damaged is renamed to ``NAME.damaged`` and told of on stderr, so that it is in nobody's way.
    Returns the new zips. A folder whose zip was finished just before the crash is only removed.

    Raises:
        OSError: the disk is full; nothing is lost.
    """
    sealed = []
    for folder in sorted(Path(directory).glob(f"*{PARTIAL}")):
        if folder.is_symlink() or not (_plain(folder / META) and _plain(folder / STEP_LINES)):
            continue
        try:
            with _claimed(folder / STEP_LINES) as free:
                path = seal(folder, folder.with_suffix(".zip"), recovered=True) if free else None
        except EpisodeError as error:
            print(f"{folder} is set aside as {_set_aside(folder).name}: {error}", file=sys.stderr)
            continue
        except OSError as error:
            if error.errno in FULL:
                raise
            print(f"{folder} is not sealed: {error}", file=sys.stderr)
            continue
        sealed += [path] if path else []
    return sealed


def seal(folder: Path, path: Path, recovered: bool) -> Path | None:
    """Make ``path`` of a folder that nobody writes any more and remove the folder; None where it holds no frame.

    Raises:
        EpisodeError: its meta.json is damaged.
        OSError: the disk is full, or the folder cannot be read; it stays as it is.
    """
    meta = _meta(folder)
    spec = meta["action_spec"]
    steps = numbers(folder / STEP_LINES, spec, Steps)
    temporary = path.with_name(f".{path.name}.tmp")
    frames = height = 0
    try:
        with temporary.open("wb") as file:
            sums: list[str] = []
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:

                def put(name: str, data: bytes) -> None:
                    archive.writestr(_entry(name), data)
                    sums.append(f"{hashlib.sha256(data).hexdigest()}  {name}\n")

                for data in _whole_frames(folder, len(steps)):
                    put(frame_name(frames), data)
                    height = int.from_bytes(data[20:24])
                    frames += 1
                packed = steps.pack(frames, folder / PRELUDE_LINES)
                put(STEPS, packed)
                digests = "".join(sums).encode()
                archive.writestr(_entry(SUMS), digests)
                meta |= {
                    "size": height,
                    "frames": frames,
                    "recovered": recovered,
                    "sha256": hashlib.sha256(digests).hexdigest(),
                }
                archive.writestr(_entry(META), json.dumps(meta, indent=1).encode())
            file.flush()
            os.fsync(file.fileno())
        if not frames or (path.exists() and _same_episode(path, packed)):
            temporary.unlink()
            shutil.rmtree(folder)
            return None
        if path.exists():
            path = next(p for i in range(2, 10**6) if not (p := path.with_stem(f"{path.stem}-{i}")).exists())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if error.errno in FULL:
            raise disk_full(error, frames, folder) from None
        raise
    shutil.rmtree(folder)
    return path


def sync_folder(folder: Path) -> None:
    """Bring a new name in ``folder`` to the disk, where the system can."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _meta(folder: Path) -> dict[str, Any]:
    try:
        if (folder / META).stat().st_size > limits.META:
            raise ValueError(f"has more than {limits.META >> 20} MiB")
        meta = limits.parse_json((folder / META).read_bytes())
        checked({**meta, "frames": 1})
    except ValueError as error:
        raise EpisodeError(f"its {META} {error}") from None
    return meta


def _whole_frames(folder: Path, most: int) -> Iterator[bytes]:
    """The pictures in their order, up to the first that is missing, torn, or of another size."""
    first = b""
    for i in range(most):
        path = folder / frame_name(i)
        if not _plain(path) or path.stat().st_size > limits.PICTURE:
            return
        data = path.read_bytes()
        first = first or data[16:24]
        if data[16:24] != first or not _whole_png(data):
            return
        yield data


def _whole_png(data: bytes) -> bool:
    """Whether these bytes are a PNG of three channels, from its first chunk to its last as their checksums say."""
    sides = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if data[:8] != _PNG_BEGIN or not data.endswith(_PNG_END):
        return False
    if data[12:16] != b"IHDR" or data[24:26] != _RGB or not 0 < min(sides) <= max(sides) <= limits.SIDE:
        return False
    at = 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        if end > len(data) or zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            return False
        at = end
    return at == len(data)


def _same_episode(path: Path, steps: bytes) -> bool:
    try:
        with open_archive(path) as archive:
            return read_member(archive, STEPS, limits.ARRAYS, path) == steps
    except (EpisodeError, OSError):
        return False


def _entry(name: str) -> zipfile.ZipInfo:
    """A fixed date, so that the same recording is the same file."""
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.external_attr = 0o644 << 16
    return info


def disk_full(error: OSError, frames: int, folder: Path) -> OSError:
    notice = f"the disk is full; make room; {frames} recorded frames stay, to be sealed at the next start, in"
    return OSError(errno.ENOSPC, notice, str(folder))


def _plain(path: Path) -> bool:
    """Whether this is a file, and no link or pipe."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _set_aside(folder: Path) -> Path:
    names = (f"{folder.stem}{'' if i < 2 else f'-{i}'}{DAMAGED}" for i in range(1, 10**6))
    aside = next(p for name in names if not (p := folder.with_name(name)).exists())
    with suppress(
        OSError
    ):  # a folder that cannot be written: it stays, and the others are sealed all the same
        folder.rename(aside)
    return aside


def in_use(folder: Path) -> bool:
    """Whether a living process writes or seals this ``NAME.partial``."""
    if not _plain(folder / STEP_LINES):
        return False
    with _claimed(folder / STEP_LINES) as free:
        return not free


@contextmanager
def _claimed(path: Path) -> Iterator[bool]:
    """Whether nobody else writes this file or seals its folder; while it lasts nobody else can."""
    with path.open("r+b") as file:
        yield lock(file)


def lock(file: TextIO | BinaryIO) -> bool:
    """Claim an open file until it is closed; False where another process has it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
