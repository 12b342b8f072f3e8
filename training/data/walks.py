"""Walks as memory-mapped shards: frames, latents, log distances, actions and poses of many episodes, side by side.

A shard is a folder of one ``.npy`` a field, so that a trainer maps terabytes and reads only what a clip needs; of a
shard in a store it fetches the blocks that hold this.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.episodes import DataError
from training.data.stored_array import StoredArray
from worldsim.config.addresses import Entry, entries, folders, is_address, join, local_path, upload
from worldsim.config.addresses import read as read_file

FILES = {name: name for name in ("frames", "latents", "actions", "poses")} | {"depth": "distances"}
"""The file of each field of :class:`Walks`."""
AXES = {"frames": 5, "latents": 5, "depth": 4, "actions": 3, "poses": 3}
"""How many axes each field has."""
META = "meta.json"
NEW = ".new"
"""What the names of shards that are being written end with."""
Shard = tuple[str, str, Callable[[], dict[str, Any]]]
"""What a shard is told of as, its meta.json, and what opens its arrays."""


@dataclass(frozen=True)
class Walks:
    """Episodes of equal length, side by side.

    frames uint8 (E, T, H, W, 3); latents float16 (E, T, C, h, w); depth float16 (E, T, ., .), logarithms in units of
    the scene's scale; actions float32 (E, T, A), raw, row i led to frame i and row 0 to nothing; poses float32
    (E, T, 5).
    """

    frames: NDArray[np.uint8]
    latents: NDArray[np.float16]
    depth: NDArray[np.float16]
    actions: NDArray[np.float32]
    poses: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.poses)

    @property
    def steps(self) -> int:
        """Frames of an episode."""
        return self.poses.shape[1]


def write(folder: Path, walks: Walks, meta: dict[str, Any]) -> None:
    """Write one shard; it is there whole or not at all. One that another process wrote meanwhile stays."""
    new = folder.with_name(f"{folder.name}.{os.getpid()}{NEW}")
    new.mkdir(parents=True, exist_ok=True)
    for field, file in FILES.items():
        np.save(new / f"{file}.npy", getattr(walks, field))
    (new / META).write_text(json.dumps(meta))
    try:
        new.rename(folder)
    except OSError:
        if not (folder / META).exists():
            raise
        shutil.rmtree(new)


def read(folder: Path | str, autoencoder: str = "") -> list[Walks]:
    """Every shard of a folder, mapped, or of one in a store, whose arrays are read as they are asked for.

    Args:
        autoencoder: the fingerprint of the weights that latents have to be of; any, where it is empty.

    Raises:
        DataError: no shard there, one that is damaged, or latents of another autoencoder.
        StoreError: the store cannot be spoken to.
    """
    found = []
    for shard, written, arrays in (
        _stored(str(folder)) if is_address(str(folder)) else _mapped(local_path(folder))
    ):
        made = _autoencoder(shard, written)
        if autoencoder and made != autoencoder:
            raise DataError(
                f"{shard} holds latents of another autoencoder ({made}, expected {autoencoder}); "
                "collect walks again for this checkpoint"
            )
        walks = Walks(**arrays())
        _check(shard, walks)
        found.append(walks)
    return found


def _autoencoder(shard: str, written: str) -> str:
    """The fingerprint of the weights that made a shard's latents, of its meta.json."""
    try:
        meta = json.loads(written)
    except (ValueError, RecursionError):
        meta = None
    if not isinstance(meta, dict) or not isinstance(meta.get("autoencoder"), str):
        raise _damaged(shard, f"{META} does not say of which autoencoder its latents are")
    made: str = meta["autoencoder"]
    return made


def _check(shard: str, walks: Walks) -> None:
    """Whether arrays belong together: their kinds, axes, episodes and frames, and poses that are numbers.

    Raises:
        DataError: they do not.
    """
    for field, axes in AXES.items():
        array = getattr(walks, field)
        kind = "u" if field == "frames" else "f"
        if array.dtype.kind != kind or len(array.shape) != axes:
            raise _damaged(shard, f"{FILES[field]}.npy holds {array.dtype} of shape {tuple(array.shape)}")
        if tuple(array.shape[:2]) != tuple(walks.poses.shape[:2]):
            raise _damaged(shard, f"{FILES[field]}.npy and poses.npy are of other episodes or lengths")
    mapped = isinstance(walks.poses, np.ndarray)  # of a store's every shard a block would be fetched for this
    if walks.poses.shape[2] != 5 or (mapped and not np.isfinite(walks.poses).all()):
        raise _damaged(shard, "poses.npy holds poses that are no 5 numbers")


def _damaged(shard: str, why: str) -> DataError:
    return DataError(f"the walks in {shard} are damaged: {why}; delete this folder and collect them again")


def _mapped(folder: Path) -> Iterator[Shard]:
    for shard in _shards(folder):

        def arrays(shard: Path = shard) -> dict[str, Any]:
            return {field: _array(shard, f"{file}.npy") for field, file in FILES.items()}

        yield str(shard), (shard / META).read_text("utf-8", "replace"), arrays


def _array(shard: Path, file: str) -> Any:
    try:
        return np.load(shard / file, mmap_mode="r")
    except FileNotFoundError:
        raise _damaged(str(shard), f"there is no {file}") from None
    except (ValueError, EOFError, TypeError, SyntaxError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise _damaged(str(shard), f"{file} is no whole array ({reason})") from None


def _stored(folder: str) -> Iterator[Shard]:
    names = folders(folder)
    for shard in (join(folder, name) for name in names):
        files = entries(shard)
        if META not in files:  # not whole yet
            continue

        def arrays(shard: str = shard, files: dict[str, Entry] = files) -> dict[str, Any]:
            return {
                field: StoredArray(join(shard, f"{file}.npy"), files.get(f"{file}.npy"))
                for field, file in FILES.items()
            }

        yield shard, read_file(join(shard, META)).decode("utf-8", "replace"), arrays
    if not names:
        raise DataError(_none_in(folder))


def send(folder: Path, address: str) -> None:
    """Bring a shard of this machine to a folder of a store; its meta comes last, and it counts from then on.

    Raises:
        StoreError: it cannot be brought there; what is here stays.
    """
    there = join(address, folder.name)
    for file in [*(f"{file}.npy" for file in FILES.values()), META]:
        upload(folder / file, join(there, file))
    shutil.rmtree(folder)


def shards_in(folder: str) -> set[str]:
    """The names of the whole shards of a folder, here or in a store."""
    if is_address(folder):
        return {name for name in folders(folder) if META in entries(join(folder, name))}
    return {p.parent.name for p in local_path(folder).glob(f"*/{META}") if not p.parent.name.endswith(NEW)}


def episodes(shards: list[Walks]) -> Iterator[tuple[int, int]]:
    """(shard, episode) of every episode."""
    for i, shard in enumerate(shards):
        for j in range(len(shard)):
            yield i, j


def _shards(folder: Path) -> list[Path]:
    shards = sorted(p for p in folder.glob("*") if (p / META).exists() and not p.name.endswith(NEW))
    if not shards:
        raise DataError(_none_in(folder))
    return shards


def _none_in(folder: Path | str) -> str:
    return f"no walks in {folder}; make some with `worldsim train walks checkpoint=NAME out={folder}`"
