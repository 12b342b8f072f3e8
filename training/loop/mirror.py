"""A run whose folder is in a store: it works in a folder of this machine, and what it saves is brought to the store.

So a run goes on where it was killed on any machine: its state is fetched first, if the store has a newer one.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from worldsim.config import addresses

RECORD = ".mirror.json"
OURS_ALONE = ("latents", "data")
"""Folders of a run that are made again rather than sent."""
_RUNNING: dict[Path, Mirror] = {}


class Mirror:
    """A folder here and its address."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.address = folder, address
        self._lock = threading.Lock()
        self._sending: threading.Thread | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._record: dict[str, list[int | str]] = {}  # of each file: its mark here and in the store

    def pull(self) -> None:
        """Fetch what the store has and this folder lacks, or has as it was before another machine went on.

        Raises:
            StoreError: the store cannot be spoken to.
        """
        with FileLock(self.folder / f"{RECORD}.lock"):  # of the processes of one machine the first fetches
            record = self.folder / RECORD
            self._record = _read_record(record)
            for name, entry in addresses.entries(self.address).items():
                file = self.folder / name
                if name.startswith("."):
                    continue
                if file.exists() and self._record.get(name, ["", ""])[1] == entry.tag:
                    continue
                addresses.download(addresses.join(self.address, name), file)
                self._note(name, file, entry.tag)

    def push(self) -> None:
        """Send every file that is not in the store as it is here.

        Raises:
            StoreError: the store cannot be written; all that is here stays.
        """
        if self._sending is not None:
            self._sending.join()
        for file in sorted(self.folder.rglob("*")):
            name = file.relative_to(self.folder).as_posix()
            parts = name.split("/")
            hidden = any(part.startswith(".") for part in parts) or name.endswith(".new")
            if file.is_file() and not hidden and parts[0] not in OURS_ALONE:
                self._send(name)

    def push_soon(self, file: Path) -> None:
        """Send one file while the run goes on; where an earlier one is still being sent, the next save sends it."""
        if self._sending is not None and self._sending.is_alive():
            return
        name = file.relative_to(self.folder).as_posix()
        self._sending = threading.Thread(target=self._send_or_say, args=(name,), daemon=True)
        self._sending.start()

    def _send_or_say(self, name: str) -> None:
        try:
            self._send(name)
        except (addresses.StoreError, OSError) as error:
            print(f"{name} is not in {self.address} yet: {error}", file=sys.stderr)

    def _send(self, name: str) -> None:
        file, address = self.folder / name, addresses.join(self.address, name)
        with self._lock:
            status = file.stat()
            if self._record.get(name, [""])[0] == f"{status.st_mtime_ns} {status.st_size}":
                return
            addresses.upload(file, address)
            entry = addresses.entry(address)
            self._record[name] = [f"{status.st_mtime_ns} {status.st_size}", entry.tag if entry else ""]
            self._write_record()

    def _note(self, name: str, file: Path, tag: str) -> None:
        status = file.stat()
        self._record[name] = [f"{status.st_mtime_ns} {status.st_size}", tag]
        self._write_record()

    def _write_record(self) -> None:
        new = self.folder / f"{RECORD}.new"
        new.write_text(json.dumps(self._record))
        new.replace(self.folder / RECORD)


def _read_record(file: Path) -> dict[str, list[int | str]]:
    """What is known of each file; nothing where that is not there, or was cut short: all is compared again then."""
    try:
        return dict(json.loads(file.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return {}


def saved(file: Path) -> None:
    """Say that a run has saved a file: it is sent where the run's folder is in a store."""
    if (mirror := _RUNNING.get(file.parent)) is not None:
        mirror.push_soon(file)


@contextmanager
def _mirroring(address: str) -> Iterator[Path]:
    folder = addresses.cache() / "runs" / addresses.digest(address.rstrip("/"))
    mirror = Mirror(folder, address)
    mirror.pull()
    first = int(os.environ.get("RANK", "0")) == 0  # of all processes of a run one sends
    if first:
        _RUNNING[folder] = mirror
    try:
        yield folder
    finally:
        _RUNNING.pop(folder, None)
        if first:
            mirror.push()


def mirrored(main: Callable[[list[str]], int | None]) -> Callable[[list[str]], int | None]:
    """Let ``out=`` of a command that trains be an address."""

    @functools.wraps(main)
    def run(words: list[str]) -> int | None:
        given = [word for word in words if word.startswith("out=") and addresses.is_address(word[4:])]
        if not given:
            return main(words)
        with _mirroring(given[-1][4:]) as folder:
            return main([*(word for word in words if word not in given), f"out={folder}"])

    return run
