"""Checkpoints in a store, by address: fetched once into the user's cache, whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from worldsim.checkpoint.hub import FETCHED
from worldsim.config import addresses


def fetch(address: str) -> Path:
    """The folder with a copy of a checkpoint's files; a checkpoint that was changed in the store is another copy.

    Raises:
        StoreError: nothing lies there, or the store cannot be spoken to.
        OSError: the copy cannot be written.
    """
    found = {name: entry for name, entry in addresses.entries(address).items() if name in FETCHED}
    if not found:
        raise addresses.StoreError(
            f"no checkpoint at {address}: expected a folder with {FETCHED[0]} and {FETCHED[1]}"
        )
    marks = [f"{name} {entry.size} {entry.tag}" for name, entry in sorted(found.items())]
    name = addresses.digest(address.rstrip("/"), *marks)
    folder = addresses.cache() / "checkpoints" / name
    if folder.is_dir():
        return folder
    new = folder.with_name(f"{name}.{os.getpid()}.new")
    try:
        for file in found:
            addresses.download(addresses.join(address, file), new / file)
        try:
            new.rename(folder)
        except OSError:  # another process fetched it meanwhile
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder
