"""Writing an episode so that no crash loses a finished frame: an append-only folder, sealed into a zip."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from PIL import Image

from envs.episodes import limits
from envs.episodes.described import check_spec
from envs.episodes.format import (
    ALIGNMENT,
    FORMAT,
    META,
    POSE,
    PRELUDE_LINES,
    STEP_LINES,
    EpisodeError,
    action_to_json,
    check_action,
    frame_name,
)
from envs.episodes.sealing import FULL, PARTIAL, disk_full, fcntl, lock, seal


class EpisodeWriter:
    """One open recording: ``first(frame, pose)``, then ``add(...)`` for each step, then ``seal()``.

    Every step is on its way to the disk when ``add`` returns: the line with the action first, then the
    picture under its final name, so that a picture found there has its action. After an error the frames
    recorded so far stay in ``NAME.partial/``, and ``seal_partials`` makes an episode of them.

    Args:
        directory: where NAME.zip is to lie; made if missing.
        name: NAME, without the ending.
        meta: all of meta.json but format, frames and alignment. ``action_spec`` is required (``envs.actions.spec``
            makes it of an action space); what may be left out says :func:`envs.episodes.described.checked`.
        prelude: raw actions from the reset up to the first frame, for a recording begun in mid-episode.

    Raises:
        EpisodeError: NAME.zip or NAME.partial is there already, or there is no ``action_spec``.
        OSError: the folder cannot be written, or the disk is full.
    """

    def __init__(
        self, directory: str | Path, name: str, meta: Mapping[str, Any], prelude: Iterable[Any] = ()
    ) -> None:
        self.path = Path(directory) / f"{name}.zip"
        self.folder = Path(directory) / f"{name}{PARTIAL}"
        self.frames = 0
        self._shape: tuple[int, ...] | None = None
        self._lines: TextIO | None = None
        try:
            check_spec(meta.get("action_spec"))
        except ValueError as error:
            raise EpisodeError(
                f"the meta of {name} {error}; envs.actions.spec makes an action_spec"
            ) from None
        self._spec = meta["action_spec"]
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
            lock(self._lines)
            with (self.folder / PRELUDE_LINES).open("w", encoding="utf-8") as before:
                before.writelines(json.dumps(action_to_json(a)) + "\n" for a in prelude)
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
        """One step: the raw action, and the frame (H, W, 3) uint8 and pose (5,) that it led to.

        Raises:
            EpisodeError: the action is none of ``action_spec``, the frame no picture of the first one's size, or the
                pose not five finite numbers; nothing is added.
        """
        if not self.frames:
            raise EpisodeError(f"{self.folder.name} has no first frame yet; call first() before add()")
        check_action(action, self._spec)
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
        if fcntl is None:
            self.close()  # a system that does not move a file which is open
        try:
            sealed = seal(self.folder, self.path, recovered=False)
        finally:
            self.close()  # until then no other process takes the folder for left behind
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
        if self.frames == limits.FRAMES:
            raise EpisodeError(f"{self.folder.name} has {limits.FRAMES} frames; seal it and begin another")
        if max(frame.shape[:2]) > limits.SIDE:
            raise EpisodeError(
                f"expected a frame of at most {limits.SIDE} pixels each way, found {frame.shape}"
            )
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise EpisodeError(f"expected a frame of uint8 (H, W, 3), found {frame.dtype} {frame.shape}")
        if self._shape not in (None, frame.shape):
            raise EpisodeError(f"expected a frame {self._shape} as the first one is, found {frame.shape}")
        png = io.BytesIO()
        Image.fromarray(frame).save(png, "PNG", compress_level=1)
        with self._disk():
            self._lines.write(json.dumps(line) + "\n")
            self._lines.flush()
            _write_whole(self.folder / frame_name(self.frames), png.getvalue())
        self.frames, self._shape = self.frames + 1, frame.shape

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """After a failed write nothing more is appended: half a line must stay the last one."""
        try:
            yield
        except OSError as error:
            self.close()
            if error.errno in FULL:
                raise disk_full(error, self.frames, self.folder) from None
            raise


def _write_whole(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def _floats(pose: Sequence[float] | np.ndarray | None) -> list[float] | None:
    if pose is None:
        return None
    found = np.asarray(pose, np.float64)
    if found.shape != (POSE,) or not np.isfinite(found).all():
        raise EpisodeError(f"expected a pose of {POSE} finite numbers (x, y, z, yaw, pitch), found {pose}")
    return [float(v) for v in found]
