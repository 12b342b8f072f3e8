"""An episode that is no file of its own: bytes of a larger file, or of what lies elsewhere."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from envs.episodes.limits import MIB

OPEN_FILES = 256
"""Shards that a process holds open at once."""


class SectionLost(ConnectionError):
    """What holds an episode cannot be reached now; nothing is said of the episode itself."""


class Section(Protocol):
    """Where the bytes of one episode lie.

    ``name`` is NAME.zip, by which it is known and told of; ``size`` is in bytes. It can be pickled.
    """

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...

    def read_at(self, start: int, stop: int) -> bytes:
        """Bytes ``start`` to ``stop`` (excluded) of the episode.

        Raises:
            SectionLost: they lie where nothing can be read from now.
        """
        ...


@dataclass(frozen=True)
class FileSection:
    """``size`` bytes of a file, from ``offset`` on."""

    name: str
    file: Path
    offset: int
    size: int

    def read_at(self, start: int, stop: int) -> bytes:
        """Bytes ``start`` to ``stop`` (excluded) of the episode.

        Raises:
            OSError: the file is not there, or shorter.
        """
        holder = _held(str(self.file), os.getpid())
        return holder.read(self.offset + start, max(0, min(stop, self.size) - start))


def stream(section: Section) -> BinaryIO:
    """The section as a file that is open for reading."""
    return cast(BinaryIO, _Stream(section))


class _Stream(io.RawIOBase):
    """Reads ahead as far as a buffer goes: a zip asks for a few bytes at a time, one after another."""

    AHEAD = MIB // 16

    def __init__(self, section: Section) -> None:
        super().__init__()
        self._section, self._at = section, 0
        self._start, self._buffer = 0, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = (0, self._at, self._section.size)[whence]
        if base + offset < 0:
            raise OSError(f"a place before the beginning of {self._section.name}")
        self._at = base + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        stop = self._section.size if size < 0 else min(self._at + size, self._section.size)
        if self._at >= stop:
            return b""
        first, last = self._at - self._start, stop - self._start
        if first < 0 or last > len(self._buffer):
            self._start = self._at
            self._buffer = self._section.read_at(
                self._at, min(max(stop, self._at + self.AHEAD), self._section.size)
            )
            first, last = 0, stop - self._at
        data = self._buffer[first:last]
        self._at += len(data)
        return data

    def readall(self) -> bytes:
        return self.read()


class _Held:
    """One open file, read by many."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "rb")  # noqa: SIM115, PTH123  (closed when it falls out of the cache)

    def read(self, start: int, count: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), count, start)
        self._file.seek(start)  # a system without pread
        return self._file.read(count)


@lru_cache(OPEN_FILES)
def _held(path: str, process: int) -> _Held:
    """The open file of a path, in this process."""
    return _Held(path)
