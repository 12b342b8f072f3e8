"""Parts of files in a store, read in blocks that are kept on disk up to a limit: the least recently used go first."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from envs.episodes.section import SectionLost
from worldsim.config import addresses

BLOCK = 2**20
"""Bytes that are asked for at once, at least."""
IN_MEMORY = 32
"""Blocks that a process keeps in memory beside those on disk."""
LIMIT = "WORLDSIM_CACHE_MB"
"""The variable that says how many MiB of blocks may be kept on disk."""
DEFAULT = 10 * 1024


class Blocks:
    """What several processes of a machine share: a folder of blocks.

    Each process counts what it writes and looks at the whole folder once a sixteenth of the limit is new; so far may
    the limit be passed by each.

    Args:
        folder: made when the first block is kept.
        limit: bytes.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self.asked = 0  # bytes that came from a store
        self._memory: OrderedDict[str, bytes] = OrderedDict()
        self._written: int | None = None  # since the folder was looked at; None: it never was
        self._lock = threading.Lock()

    def read(self, address: str, entry: addresses.Entry, start: int, stop: int) -> bytes:
        """Bytes ``start`` to ``stop`` of a file; blocks that are missing and follow one another are one request.

        Raises:
            StoreError: the store cannot be spoken to.
        """
        if start >= stop:
            return b""
        mark = addresses.digest(address, entry.tag, str(entry.size))
        numbers = range(start // BLOCK, -(-stop // BLOCK))
        found = {n: data for n in numbers if (data := self._kept(mark, n)) is not None}
        for run in _runs([n for n in numbers if n not in found]):
            first = run[0] * BLOCK
            data = addresses.read(address, first, min((run[-1] + 1) * BLOCK, entry.size))
            self.asked += len(data)
            for n in run:
                found[n] = data[n * BLOCK - first : (n + 1) * BLOCK - first]
                self._keep(mark, n, found[n])
        whole = b"".join(found[n] for n in numbers) if len(numbers) > 1 else found[numbers[0]]
        return whole[start - numbers[0] * BLOCK : stop - numbers[0] * BLOCK]

    def _kept(self, mark: str, number: int) -> bytes | None:
        key = f"{mark}-{number}"
        with self._lock:
            if (data := self._memory.get(key)) is not None:
                self._memory.move_to_end(key)
                return data
        file = self._file(key)
        try:
            data = file.read_bytes()
            os.utime(file)
        except OSError:
            return None
        self._remember(key, data)
        return data

    def _keep(self, mark: str, number: int, data: bytes) -> None:
        key = f"{mark}-{number}"
        self._remember(key, data)
        if self.limit < len(data):
            return
        file = self._file(key)
        new = file.with_name(f"{file.name}.{os.getpid()}.{threading.get_ident()}.new")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(data)
            new.replace(file)
        except OSError:  # a full disk: it is asked for again when it is needed again
            with suppress(OSError):
                new.unlink(missing_ok=True)
        with self._lock:
            written = self._written
            self._written = written + len(data) if written is not None else None
            if written is None or written + len(data) > self.limit // 16:
                self._drop()
                self._written = 0

    def _remember(self, key: str, data: bytes) -> None:
        with self._lock:
            self._memory[key] = data
            while len(self._memory) > IN_MEMORY:
                self._memory.popitem(last=False)

    def _drop(self) -> None:
        """Remove what was used longest ago, down to the limit."""
        found = []
        for file in self.folder.glob("*/*"):
            with suppress(OSError):
                status = file.stat()
                found.append((status.st_mtime_ns, status.st_size, file))
        held = sum(size for _, size, _ in found)
        for _, size, file in sorted(found):
            if held <= self.limit:
                return
            with suppress(OSError):
                file.unlink()
                held -= size

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / key


def _runs(numbers: list[int]) -> list[list[int]]:
    """Numbers in ascending order, cut where one is left out."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and runs[-1][-1] == n - 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return runs


@cache
def shared() -> Blocks:
    """The blocks of this user.

    Raises:
        StoreError: the limit is no number.
    """
    asked = os.environ.get(LIMIT, str(DEFAULT))
    if not asked.isdecimal():
        raise addresses.StoreError(f"expected {LIMIT} as a whole number of MiB, found {asked!r}")
    return Blocks(addresses.cache() / "blocks", int(asked) * 2**20)


@dataclass(frozen=True)
class StoredSection:
    """``size`` bytes of a file in a store, from ``offset`` on: where an episode lies
    (:class:`envs.episodes.section.Section`)."""

    name: str
    address: str
    entry: addresses.Entry
    offset: int
    size: int

    def read_at(self, start: int, stop: int) -> bytes:
        """Bytes ``start`` to ``stop`` (excluded) of the episode.

        Raises:
            SectionLost: the store cannot be spoken to.
        """
        try:
            return shared().read(
                self.address, self.entry, self.offset + start, self.offset + min(stop, self.size)
            )
        except addresses.StoreError as error:
            raise SectionLost(str(error)) from None
