"""Reading a recorded episode: one stored zip, frames decoded only when asked for."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

from envs.episodes import limits, open_files
from envs.episodes.archive import open_archive, read_member
from envs.episodes.arrays import ArraysError, read_arrays
from envs.episodes.described import checked
from envs.episodes.format import (
    META,
    STEPS,
    SUMS,
    EpisodeError,
    action_vectors,
    fitted,
    frame_name,
    take_action,
)
from envs.episodes.sealing import seal_partials
from envs.episodes.section import Section
from envs.episodes.writer import EpisodeWriter

__all__ = ["Episode", "EpisodeError", "EpisodeWriter", "seal_partials"]


class Episode:
    """A recorded episode of T steps and T+1 frames. It can be pickled, forked and used as a context manager.

    Whoever made the file, reading it raises nothing else than is said here; how much it says to hold is checked
    before memory is taken for it (:mod:`envs.episodes.limits`).

    Args:
        path: its file; of an episode in a ``section`` what it is told of as.
        section: where its bytes lie, if it is no file of its own.
        known: what its meta.json says, and ``posed``, whether it tells poses, as an index has it; it is then not opened
            until it is read from.

    Attributes:
        meta: what meta.json says (format, env_id, seed, size, fov, action_spec, frames, ...); what it may leave out is
            filled in (:func:`envs.episodes.described.checked`).

    Raises:
        EpisodeError: the file is no episode, is cut short, is of a newer format, or says to hold too much.
        FileNotFoundError, PermissionError: there is no such file, or it may not be read.
    """

    def __init__(
        self,
        path: str | Path,
        section: Section | None = None,
        known: tuple[Mapping[str, Any], bool] | None = None,
    ) -> None:
        self.path = Path(path)
        self.section = section
        self._posed = known[1] if known else None
        self._zip: zipfile.ZipFile | None = None
        self._pid = 0
        self._shape: tuple[int, int] | None = None  # of the first picture that was read
        try:
            meta = known[0] if known else limits.parse_json(self._read(META, limits.META))
            self.meta: dict[str, Any] = checked(meta)
        except EpisodeError:
            raise
        except ValueError as error:
            raise EpisodeError(f"{self.path} is no episode that can be read: its {META} {error}") from None
        if not known and frame_name(len(self) - 1) not in self._archive.NameToInfo:
            raise EpisodeError(
                f"{self.path} is not whole: its {META} says {len(self)} frames, the last is missing"
            )
        if "size" not in self.meta:
            self.meta["size"] = int(self._frame(0).shape[0])

    def __len__(self) -> int:
        """The number of frames, T+1."""
        return int(self.meta["frames"])

    def frames(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Frames ``start`` to ``stop`` (excluded; None: to the end): uint8 (n, H, W, 3).

        Raises:
            IndexError: the range leaves the episode.
            EpisodeError: a picture is damaged.
        """
        return self.frames_at(range(start, len(self) if stop is None else stop))

    def frames_at(self, indices: Iterable[int]) -> np.ndarray:
        """The frames of these indices, in this order: uint8 (n, H, W, 3)."""
        found = [self._frame(int(i)) for i in indices]
        size = int(self.meta["size"])
        return np.stack(found) if found else np.zeros((0, size, size, 3), np.uint8)

    def action(self, i: int) -> Any:
        """The raw action that leads from frame i to frame i+1."""
        return take_action(self.steps, self.meta["action_spec"], i)

    def action_vectors(self) -> np.ndarray:
        """All actions as the model sees them: float32 (T, D).

        Raises:
            EpisodeError: they are damaged, or more than memory should hold.
        """
        return action_vectors(self.steps, self.meta["action_spec"])

    @property
    def poses(self) -> np.ndarray | None:
        """One pose per frame, float64 (T+1, 5), or None where the world told none."""
        return self.steps.get("pose")

    @property
    def posed(self) -> bool:
        """Whether it tells poses."""
        return self.poses is not None if self._posed is None else self._posed

    @property
    def prelude(self) -> list[Any]:
        """The raw actions from the reset up to the first frame; empty if the recording began at the reset."""
        spec, prefix = self.meta["action_spec"], "prelude.action"
        first = next((a for name, a in self.steps.items() if name.startswith(prefix)), ())
        return [take_action(self.steps, spec, i, prefix) for i in range(len(first))]

    @cached_property
    def steps(self) -> dict[str, np.ndarray]:
        """The arrays of steps.npz: action..., pose, reward, terminated, truncated, prelude.action...

        Raises:
            EpisodeError: they are damaged, or do not fit the action language or the number of frames.
        """
        data = self._read(STEPS, limits.ARRAYS + limits.MIB)
        try:
            arrays = read_arrays(io.BytesIO(data), limits.ARRAYS)
            return fitted(arrays, len(self), self.meta["action_spec"])
        except (ArraysError, EpisodeError) as error:
            raise EpisodeError(f"{self.path}: {STEPS} cannot be read: {error}") from None

    def verify(self) -> None:
        """Read everything once, without decoding it; where the episode has checksums, they are compared.

        Raises:
            EpisodeError: a part is damaged or missing; the message names it.
        """
        sums = self._sums()
        height = self._frame(0).shape[0]
        if height != self.meta["size"]:
            raise EpisodeError(
                f"{self.path}: its {META} says size {self.meta['size']}, its pictures are {height} pixels high"
            )
        for i in range(len(self)):
            name = frame_name(i)
            data = self._read(name, limits.PICTURE)
            self._check_picture(data, i)
            self._compare(name, data, sums)
        self._compare(STEPS, self._read(STEPS, limits.ARRAYS + limits.MIB), sums)
        _ = self.steps

    def close(self) -> None:
        """Close the file; reading opens it again."""
        archive, self._zip = self._zip, None
        if archive is not None and self._pid == os.getpid():
            archive.close()

    def let_go(self) -> None:
        """As :meth:`close`, but what another thread reads just now is read to its end."""
        self._zip = None

    def __enter__(self) -> Episode:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_zip": None}

    @property
    def _archive(self) -> zipfile.ZipFile:
        # A forked worker shares the file position of its parent, so every process opens its own.
        archive = self._zip
        if archive is None or self._pid != os.getpid():
            archive = open_archive(self.path, self.section)
            self._zip, self._pid = archive, os.getpid()
            if self.section is None:
                open_files.hold(self)
        return archive

    def _read(self, name: str, most: int) -> bytes:
        return read_member(self._archive, name, most, self.path, self.section)

    def _sums(self) -> dict[str, str] | None:
        """SHA-256 of every member by name; None in an episode that was sealed before there were checksums."""
        if (checksum := self.meta.get("sha256")) is None:
            return None
        data = self._read(SUMS, limits.ARRAYS)
        if hashlib.sha256(data).hexdigest() != checksum:
            raise EpisodeError(f"{self.path}: {SUMS} is not what {META} says it is")
        lines = (line.partition("  ") for line in data.decode("ascii", "replace").splitlines())
        return {name: digest for digest, _, name in lines}

    def _compare(self, name: str, data: bytes, sums: dict[str, str] | None) -> None:
        if sums is not None and sums.get(name) != hashlib.sha256(data).hexdigest():
            raise EpisodeError(f"{self.path}: {name} is not what was recorded, by its checksum")

    def _check_picture(self, data: bytes, index: int) -> None:
        """Whether this begins as a PNG does, of the side of all others."""
        width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
        if data[:8] != b"\x89PNG\r\n\x1a\n" or not 0 < max(width, height) <= limits.SIDE:
            raise EpisodeError(
                f"{self.path}: frame {index} is no PNG of at most {limits.SIDE} pixels each way"
            )
        self._shape = self._shape or (height, width)
        if (height, width) != self._shape:
            raise EpisodeError(
                f"{self.path}: frame {index} has {width}x{height} pixels, another one "
                f"{self._shape[1]}x{self._shape[0]}"
            )

    def _frame(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} of {self.path.name}, which has frames 0 to {len(self) - 1}")
        data = self._read(frame_name(index), limits.PICTURE)
        self._check_picture(data, index)
        try:
            with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
                frame = np.asarray(picture.convert("RGB"))
        except limits.DAMAGE as error:
            raise EpisodeError(f"{self.path}: frame {index} is no readable picture: {error}") from None
        if frame.shape[:2] != self._shape:
            raise EpisodeError(f"{self.path}: frame {index} is not as large as it says")
        return frame
