"""Writing an episode so that no crash loses a finished frame: an append-only folder, sealed into a zip."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from PIL import Image

from envs.episode_format import (
    ALIGNMENT,
    FORMAT,
    META,
    PRELUDE_LINES,
    STEP_LINES,
    STEPS,
    EpisodeError,
    action_to_json,
    frame_name,
    stack_actions,
)

try:
    import fcntl
except ImportError:  # no advisory locks on this system: two writers must not share a folder there
    fcntl = None  # type: ignore[assignment]

PARTIAL = ".partial"
_PNG_END = b"IEND\xaeB`\x82"


class EpisodeWriter:
    """One open recording: ``first(frame, pose)``, then ``add(...)`` for each step, then ``seal()``.

    Every step is on its way to the disk when ``add`` returns: the line with the action first, then the
    picture under its final name, so that a picture found there has its action. After an error the frames
    recorded so far stay in ``NAME.partial/``, and ``seal_partials`` makes an episode of them.

    Args:
        directory: where NAME.zip is to lie; made if missing.
        name: NAME, without the ending.
        meta: all of meta.json but format, frames and alignment; ``action_spec`` is required.
        prelude: raw actions from the reset up to the first frame, for a recording begun in mid-episode.

    Raises:
        EpisodeError: NAME.zip or NAME.partial is there already.
        OSError: the folder cannot be written, or the disk is full.
    """

    def __init__(
        self, directory: str | Path, name: str, meta: Mapping[str, Any], prelude: Sequence[Any] = ()
    ) -> None:
        self.path = Path(directory) / f"{name}.zip"
        self.folder = Path(directory) / f"{name}{PARTIAL}"
        self.frames = 0
        self._lines: TextIO | None = None
        if self.path.exists():
            raise EpisodeError(f"{self.path} is there already; choose another name or folder")
        Path(directory).mkdir(parents=True, exist_ok=True)
        try:
            self.folder.mkdir()
        except FileExistsError:
            raise EpisodeError(
                f"{self.folder} is there already; seal_partials() makes an episode of it"
            ) from None
        with self._disk():
            (self.folder / "frames").mkdir()
            self._lines = (self.folder / STEP_LINES).open("w", encoding="utf-8")
            _lock(self._lines)
            lines = "".join(json.dumps(action_to_json(a)) + "\n" for a in prelude)
            _write_whole(self.folder / PRELUDE_LINES, lines.encode())
            whole = {"format": FORMAT, **meta, "alignment": ALIGNMENT}
            _write_whole(self.folder / META, json.dumps(whole, indent=1).encode())

    def first(self, frame: np.ndarray, pose: Sequence[float] | np.ndarray | None = None) -> None:
        """The frame (H, W, 3) uint8 that the recording starts from, and its pose (5,)."""
        if self.frames:
            raise EpisodeError(f"{self.folder.name} has its first frame already; use add()")
        self._append({"pose": _floats(pose)}, frame)

    def add(
        self,
        action: Any,
        frame: np.ndarray,
        pose: Sequence[float] | np.ndarray | None = None,
        reward: float = 0.0,
        terminated: bool = False,
        truncated: bool = False,
    ) -> None:
        """One step: the raw action, and the frame (H, W, 3) uint8 and pose (5,) that it led to."""
        if not self.frames:
            raise EpisodeError(f"{self.folder.name} has no first frame yet; call first() before add()")
        line = {
            "action": action_to_json(action),
            "pose": _floats(pose),
            "reward": float(reward),
            "terminated": bool(terminated),
            "truncated": bool(truncated),
        }
        self._append(line, frame)

    def seal(self) -> Path:
        """Turn the folder into NAME.zip, at once or not at all, and remove the folder."""
        self.close()
        sealed = _seal(self.folder, self.path, recovered=False)
        if sealed is None:
            raise EpisodeError(f"{self.folder.name} holds no frame yet, so there is nothing to seal")
        return sealed

    def discard(self) -> None:
        """Drop this recording."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        """Stop writing and leave the folder as it is."""
        if self._lines is not None:
            with suppress(OSError):
                self._lines.close()
            self._lines = None

    def _append(self, line: dict[str, Any], frame: np.ndarray) -> None:
        if self._lines is None:
            raise EpisodeError(f"{self.folder.name} is closed; begin a new recording")
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise EpisodeError(f"expected a frame of uint8 (H, W, 3), found {frame.dtype} {frame.shape}")
        png = io.BytesIO()
        Image.fromarray(frame).save(png, "PNG", compress_level=1)
        with self._disk():
            self._lines.write(json.dumps(line) + "\n")
            self._lines.flush()
            _write_whole(self.folder / frame_name(self.frames), png.getvalue())
        self.frames += 1

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """After a failed write nothing more is appended: half a line must stay the last one."""
        try:
            yield
        except OSError as error:
            self.close()
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise _disk_full(error, self.frames, self.folder) from None
            raise


def seal_partials(directory: str | Path) -> list[Path]:
    """Seal what a crash left behind in ``directory``: every finished frame, and the steps between them.

    Folders that a living process is writing, and folders that are no recordings, are left alone.
    Returns the new zips. A folder whose zip was finished just before the crash is only removed.
    """
    sealed = []
    for folder in sorted(Path(directory).glob(f"*{PARTIAL}")):
        if (folder / META).is_file() and (folder / STEP_LINES).is_file() and not _in_use(folder / STEP_LINES):
            path = _seal(folder, folder.with_suffix(".zip"), recovered=True)
            sealed += [path] if path else []
    return sealed


def _seal(folder: Path, path: Path, recovered: bool) -> Path | None:
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
            raise _disk_full(error, len(frames), folder) from None
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


def _write_whole(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def _disk_full(error: OSError, frames: int, folder: Path) -> OSError:
    told = f"the disk is full; make room; {frames} recorded frames stay, to be sealed at the next start, in"
    return OSError(error.errno, told, str(folder))


def _floats(pose: Sequence[float] | np.ndarray | None) -> list[float] | None:
    return None if pose is None else [float(v) for v in pose]


def _lock(file: TextIO) -> None:
    if fcntl is not None:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


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
