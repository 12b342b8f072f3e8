"""An array in a store, as ``.npy``: rows are read when they are asked for, by parts of the file."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.lib import format as npy

from training.data import blocks
from training.data.episodes import DataError
from worldsim.config.addresses import Entry

HEADER = 4096  # bytes
KINDS = "biuf"  # numbers and truth values


class StoredArray:
    """Rows of rows, (E, T, ...): indexed by an episode, or by an episode and its frames, as a mapped array is.

    Raises:
        DataError: there is no such file, or it holds no numbers, or fewer than it says.
        StoreError: the store cannot be spoken to.
    """

    def __init__(self, address: str, entry: Entry | None) -> None:
        self._address, found = address, entry
        if found is None:
            raise DataError(f"there is no {address}, which walks are made of")
        self._entry = found
        head = io.BytesIO(self._read(0, min(HEADER, found.size)))
        try:
            version = npy.read_magic(head)
            header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
            self.shape, by_column, self.dtype = header(head, max_header_size=HEADER)
            self._begins = head.tell()
            length = self._begins + self.dtype.itemsize * int(np.prod(self.shape, dtype=object))
            whole = (
                not by_column and self.dtype.kind in KINDS and len(self.shape) >= 2 and length == found.size
            )
        except (KeyError, ValueError, TypeError, EOFError, SyntaxError, OverflowError) as error:
            raise DataError(f"{address} is no array: {' '.join(str(error).split())[:200]}") from None
        if not whole:
            raise DataError(f"{address} is no whole array of numbers, (episodes, frames, ...)")

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, key: Any) -> np.ndarray:
        episode, frames = key if isinstance(key, tuple) else (key, slice(None))
        e = range(self.shape[0])[episode]
        if isinstance(frames, slice):
            chosen = range(self.shape[1])[frames]
            if chosen.step != 1 or not chosen:
                return self._picked(e, list(chosen))
            return self._rows(e, chosen.start, chosen.stop)
        if np.ndim(frames) == 0:
            t = range(self.shape[1])[int(frames)]
            return self._rows(e, t, t + 1)[0]
        return self._picked(e, [range(self.shape[1])[int(t)] for t in frames])

    def _picked(self, episode: int, frames: list[int]) -> np.ndarray:
        if not frames:
            return np.zeros((0, *self.shape[2:]), self.dtype)
        return np.concatenate([self._rows(episode, t, t + 1) for t in frames])

    def _rows(self, episode: int, start: int, stop: int) -> np.ndarray:
        row = self.dtype.itemsize * int(np.prod(self.shape[2:]))
        first = self._begins + (episode * self.shape[1] + start) * row
        data = self._read(first, first + (stop - start) * row)
        return np.frombuffer(data, self.dtype).reshape(stop - start, *self.shape[2:]).copy()

    def _read(self, start: int, stop: int) -> bytes:
        return blocks.shared().read(self._address, self._entry, start, stop)
