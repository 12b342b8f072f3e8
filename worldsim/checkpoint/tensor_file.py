"""Tensors on disk as safetensors: written whole or not at all, with a checksum that says whether they came back."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, uint8

CHECKSUM = "sha256"  # entry of the file's metadata
HEADER = 16 * 2**20  # bytes of names, types and shapes
TENSORS = 65_536


class TensorFileError(ValueError):
    """A file of tensors that is not whole, says to hold too much, or is not what was saved."""


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Save tensors with their checksum; a kill at any moment leaves the old file or the new one.

    Raises:
        OSError: the disk is full, or the folder cannot be written; the old file stays as it was.
    """
    new = path.with_name(path.name + ".new")
    header = {**metadata, CHECKSUM: checksum(tensors)}
    try:
        save_file(dict(tensors), new, metadata=header)
        with new.open("r+b") as file:  # Windows brings to the disk what is open for writing
            os.fsync(file.fileno())
        new.replace(path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise
        number = re.search(r"os error (\d+)", str(error))
        code = int(number.group(1)) if number else errno.EIO
        raise OSError(code, os.strerror(code), str(path)) from None


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and numbers, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        if flat.numel():
            digest.update(flat.view(uint8).numpy().data)
    return digest.hexdigest()


def check(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None) -> None:
    """Compare what was read with the checksum in the file's metadata; without one there is nothing to compare.

    Raises:
        TensorFileError: these are not the numbers that were saved.
    """
    expected = (metadata or {}).get(CHECKSUM)
    if expected is not None and expected != checksum(tensors):
        raise TensorFileError("the numbers in it are not those that were saved, by its checksum")


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor in a file, from its header alone; nothing is allocated.

    Raises:
        TensorFileError: the header is damaged, too large, or does not fit the length of the file.
        OSError: the file cannot be read.
    """
    length = path.stat().st_size
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if not 2 <= size <= min(HEADER, length - 8):
            raise TensorFileError("its header is damaged")
        try:
            header: Any = json.loads(file.read(size))
            found = {n: tuple(t["shape"]) for n, t in header.items() if n != "__metadata__"}
            bad = any(not isinstance(side, int) or side < 0 for shape in found.values() for side in shape)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            bad = True
    if bad or len(found) > TENSORS:
        raise TensorFileError("its header is damaged")
    return found
