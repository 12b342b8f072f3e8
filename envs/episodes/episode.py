"""Reading a recorded episode: one stored zip, frames decoded only when asked for."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from envs.episodes.format import (
    FORMAT,
    META,
    STEPS,
    EpisodeError,
    action_vectors,
    frame_name,
    take_action,
)
from envs.episodes.sealing import seal_partials
from envs.episodes.writer import EpisodeWriter

__all__ = ["Episode", "EpisodeError", "EpisodeWriter", "seal_partials"]


class Episode:
    """A recorded episode of T steps and T+1 frames. It can be pickled, forked and used as a context manager.

    Attributes:
        meta: what meta.json says (format, env_id, seed, size, fov, action_spec, frames, ...).

    Raises:
        EpisodeError: the file is no episode, is cut short, or is of a newer format.
        FileNotFoundError: there is no such file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._zip: zipfile.ZipFile | None = None
        self._pid = 0
        try:
            self.meta: dict[str, Any] = json.loads(self._read(META))
            version = self.meta["format"]
            frames, _ = int(self.meta["frames"]), self.meta["action_spec"]["fields"]
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, EpisodeError):
                raise
            raise EpisodeError(f"{self.path} is a zip but no episode: its {META} lacks {error}") from None
        if version != FORMAT:
            raise EpisodeError(
                f"{self.path} has episode format {version}, this program reads format {FORMAT}; update it"
            )
        if frames < 1 or frame_name(frames - 1) not in self._archive.NameToInfo:
            raise EpisodeError(
                f"{self.path} is not whole: its {META} says {frames} frames, the last is missing"
            )

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
        size = int(self.meta.get("size", 0))
        return np.stack(found) if found else np.zeros((0, size, size, 3), np.uint8)

    def action(self, i: int) -> Any:
        """The raw action that leads from frame i to frame i+1."""
        return take_action(self.steps, self.meta["action_spec"], i)

    def action_vectors(self) -> np.ndarray:
        """All actions as the model sees them: float32 (T, D)."""
        return action_vectors(self.steps, self.meta["action_spec"])

    @property
    def poses(self) -> np.ndarray | None:
        """One pose per frame, float64 (T+1, 5), or None where the world told none."""
        return self.steps.get("pose")

    @property
    def prelude(self) -> list[Any]:
        """The raw actions from the reset up to the first frame; empty if the recording began at the reset."""
        spec, prefix = self.meta["action_spec"], "prelude.action"
        first = next((a for name, a in self.steps.items() if name.startswith(prefix)), ())
        return [take_action(self.steps, spec, i, prefix) for i in range(len(first))]

    @cached_property
    def steps(self) -> dict[str, np.ndarray]:
        """The arrays of steps.npz: action..., pose, reward, terminated, truncated, prelude.action..."""
        try:
            with np.load(io.BytesIO(self._read(STEPS)), allow_pickle=False) as packed:
                arrays = {name: packed[name] for name in packed.files}
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            raise EpisodeError(f"{self.path}: {STEPS} cannot be read: {error}") from None
        rows = {n: len(a) for n, a in arrays.items() if n.split(".")[0] in ("action", "pose")}
        wrong = [n for n, count in rows.items() if count != len(self) - (n != "pose")]
        if wrong or not rows:
            raise EpisodeError(f"{self.path}: {len(self)} frames but {rows or 'no action'} rows in {STEPS}")
        return arrays

    def verify(self) -> None:
        """Read everything once, without decoding it.

        Raises:
            EpisodeError: a part is damaged; the message names it.
        """
        try:
            bad = self._archive.testzip()
        except (zipfile.BadZipFile, EOFError, OSError) as error:
            raise EpisodeError(f"{self.path} is damaged: {error}") from None
        if bad is not None:
            raise EpisodeError(f"{self.path}: {bad} is damaged")
        _ = self.steps

    def close(self) -> None:
        """Close the file; reading opens it again."""
        if self._zip is not None and self._pid == os.getpid():
            self._zip.close()
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
        if self._zip is None or self._pid != os.getpid():
            try:
                self._zip, self._pid = zipfile.ZipFile(self.path), os.getpid()
            except (zipfile.BadZipFile, IsADirectoryError):
                raise EpisodeError(
                    f"{self.path} is no recorded episode, or only the beginning of one: expected a whole zip"
                ) from None
        return self._zip

    def _read(self, name: str) -> bytes:
        try:
            return self._archive.read(name)
        except KeyError:
            raise EpisodeError(
                f"{self.path} is a zip but no whole episode: {name} is missing in it"
            ) from None
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            raise EpisodeError(f"{self.path}: {name} is damaged: {error}") from None

    def _frame(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} of {self.path.name}, which has frames 0 to {len(self) - 1}")
        try:
            return np.asarray(Image.open(io.BytesIO(self._read(frame_name(index)))).convert("RGB"))
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            raise EpisodeError(f"{self.path}: frame {index} is no readable picture: {error}") from None
