"""A state to keep and to come back to: what JSON can say, and arrays by name; in memory and as a file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save_file

VERSION = 1
SUFFIX = ".safetensors"
MOST_BYTES, MOST_ARRAYS, MOST_TREE = 2**30, 65_536, 2**24  # of a file; in one; of its JSON, bytes
DTYPES = {
    "BOOL": np.bool_, "U8": np.uint8, "U16": np.uint16, "U32": np.uint32, "I8": np.int8, "I16": np.int16,
    "I32": np.int32, "I64": np.int64, "F16": np.float16, "F32": np.float32, "F64": np.float64,
}  # fmt: skip
_TREE, _FORMAT, _CHECKSUM = "tree", "worldsim snapshot", "sha256"


class SnapshotError(ValueError):
    """A state that is not whole, was not made by this program, or does not fit what is to go back to it."""


@dataclass(frozen=True)
class Snapshot:
    """``tree`` is what JSON can say, and names the ``arrays``, which nobody changes."""

    tree: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def part(self, name: str) -> Snapshot:
        """What :func:`joined` put in under this name.

        Raises:
            SnapshotError: there is nothing of this name.
        """
        tree = self.tree.get(name)
        if not isinstance(tree, dict):
            raise SnapshotError(f"this state says nothing of its {name}")
        start = f"{name}/"
        return Snapshot(
            tree, {k.removeprefix(start): a for k, a in self.arrays.items() if k.startswith(start)}
        )

    @property
    def size(self) -> int:
        """Bytes of its arrays."""
        return sum(array.nbytes for array in self.arrays.values())


def joined(parts: Mapping[str, Snapshot], **more: Any) -> Snapshot:
    """One state of several by name, and what JSON can say beside them."""
    arrays = {f"{name}/{k}": a for name, part in parts.items() for k, a in part.arrays.items()}
    return Snapshot({**more, **{name: part.tree for name, part in parts.items()}}, arrays)


def write(path: Path, snapshot: Snapshot) -> None:
    """One file of safetensors, whole or not at all: the arrays, the JSON as bytes among them, and a checksum of all.

    Raises:
        OSError: it cannot be written there.
    """
    text = json.dumps(snapshot.tree, allow_nan=False).encode()
    arrays = {**snapshot.arrays, _TREE: np.frombuffer(text, np.uint8)}
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    facts = {"format": _FORMAT, "version": str(VERSION), _CHECKSUM: _checksum(whole)}
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    try:
        save_file(whole, new, facts)
        with new.open("r+b") as file:
            os.fsync(file.fileno())
        new.replace(path)
    except SafetensorError as error:
        raise OSError(f"{path} could not be written: {error}") from None
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)


def read(path: Path) -> Snapshot:
    """What :func:`write` wrote.

    Raises:
        SnapshotError: it is something else, is damaged, or says to hold too much.
        OSError: it cannot be read.
    """
    if (length := path.stat().st_size) > MOST_BYTES:
        raise SnapshotError(f"{path} has {length} bytes; expected a state of at most {MOST_BYTES}")
    data = path.read_bytes()
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        facts = header.pop("__metadata__", {})
        if facts.get("format") != _FORMAT or len(header) > MOST_ARRAYS:
            raise SnapshotError(f"{path} is no state that was kept by this program")
        if int(facts["version"]) > VERSION:
            raise SnapshotError(
                f"{path} has version {facts['version']}, newer than {VERSION}; update worldsim"
            )
        arrays = {}
        for name, about in deserialize(data):
            dtype = np.dtype(DTYPES[about["dtype"]])
            arrays[name] = np.frombuffer(about["data"], dtype).reshape(about["shape"])
        if _checksum(arrays) != facts[_CHECKSUM]:
            raise SnapshotError(f"{path} is damaged: what is in it is not what was kept, by its checksum")
        text = arrays.pop(_TREE)
        tree = json.loads(text.tobytes()) if text.nbytes <= MOST_TREE else None
        if not isinstance(tree, dict):
            raise SnapshotError(f"{path} is no state that was kept by this program")
    except SnapshotError:
        raise
    except (SafetensorError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise SnapshotError(
            f"{path} is no whole state ({str(error)[:100] or type(error).__name__})"
        ) from None
    return Snapshot(tree, arrays)


def _checksum(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
