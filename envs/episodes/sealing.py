"""Sealing a recording: what an append-only folder holds becomes one zip, at once or not at all."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from envs.episodes.format import META, PRELUDE_LINES, STEP_LINES, STEPS, frame_name, stack_actions

try:
    import fcntl
except ImportError:  # no advisory locks on this system: two writers must not share a folder there
    fcntl = None  # type: ignore[assignment]

PARTIAL = ".partial"
_PNG_END = b"IEND\xaeB`\x82"


def seal_partials(directory: str | Path) -> list[Path]:
    """Seal what a crash left behind in ``directory``: every finished frame, and the steps between them.

    Folders that a living process is writing, and folders that are no recordings, are left alone.
    Returns the new zips. A folder whose zip was finished just before the crash is only removed.
    """
    sealed = []
    for folder in sorted(Path(directory).glob(f"*{PARTIAL}")):
        if (folder / META).is_file() and (folder / STEP_LINES).is_file() and not _in_use(folder / STEP_LINES):
            path = seal(folder, folder.with_suffix(".zip"), recovered=True)
            sealed += [path] if path else []
    return sealed


def seal(folder: Path, path: Path, recovered: bool) -> Path | None:
    meta = json.loads((folder / META).read_text("utf-8"))
    lines = _whole_lines(folder / STEP_LINES)
    prelude = _whole_lines(folder / PRELUDE_LINES)
    frames = _whole_frames(folder, len(lines))
    if not frames:
        shutil.rmtree(folder)
        return None
    meta |= {"frames": len(frames), "recovered": recovered}
    contents = {META: json.dumps(meta, indent=1).encode(), STEPS: _steps(lines[: len(frames)], prelude, meta)}
    if path.exists():
        if _same_episode(path, contents[STEPS]):
            shutil.rmtree(folder)
            return None
        path = next(p for i in range(2, 10**6) if not (p := path.with_stem(f"{path.stem}-{i}")).exists())
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for name, data in contents.items():
                    archive.writestr(_entry(name), data)
                for i, data in enumerate(frames):
                    archive.writestr(_entry(frame_name(i)), data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(error, len(frames), folder) from None
        raise
    shutil.rmtree(folder)
    return path


def _steps(lines: list[Any], prelude: list[Any], meta: Mapping[str, Any]) -> bytes:
    steps, spec = lines[1:], meta["action_spec"]
    arrays = stack_actions([s["action"] for s in steps], spec)
    if all(line["pose"] is not None for line in lines):
        arrays["pose"] = np.array([line["pose"] for line in lines], np.float64).reshape(len(lines), -1)
    arrays["reward"] = np.array([s["reward"] for s in steps], np.float64)
    for name in ("terminated", "truncated"):
        arrays[name] = np.array([s[name] for s in steps], np.bool_)
    if prelude:
        arrays |= stack_actions(prelude, spec, "prelude.action")
    packed = io.BytesIO()
    np.savez(packed, **arrays)  # type: ignore[arg-type]
    return packed.getvalue()


def _whole_lines(path: Path) -> list[Any]:
    """Every line up to the first torn one."""
    found: list[Any] = []
    if not path.is_file():
        return found
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def _whole_frames(folder: Path, most: int) -> list[bytes]:
    frames: list[bytes] = []
    while len(frames) < most and (path := folder / frame_name(len(frames))).is_file():
        data = path.read_bytes()
        if not data.endswith(_PNG_END):
            break
        frames.append(data)
    return frames


def _same_episode(path: Path, steps: bytes) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(STEPS) == steps
    except (zipfile.BadZipFile, KeyError):
        return False


def _entry(name: str) -> zipfile.ZipInfo:
    """A fixed date, so that the same recording is the same file."""
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.external_attr = 0o644 << 16
    return info


def disk_full(error: OSError, frames: int, folder: Path) -> OSError:
    told = f"the disk is full; make room; {frames} recorded frames stay, to be sealed at the next start, in"
    return OSError(error.errno, told, str(folder))


def _in_use(path: Path) -> bool:
    if fcntl is None:
        return False
    with path.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


def lock(file: TextIO) -> None:
    if fcntl is not None:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
