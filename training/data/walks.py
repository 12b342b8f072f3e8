"""Walks as memory-mapped shards: frames, latents, log distances, actions and poses of many episodes, side by side.

A shard is a folder of one ``.npy`` a field, so that a trainer maps terabytes and reads only what a clip needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.episodes import DataError

FILES = {name: name for name in ("frames", "latents", "actions", "poses")} | {"depth": "distances"}
"""The file of each field of :class:`Walks`."""
META = "meta.json"


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
    """Write one shard; it is there whole or not at all."""
    new = folder.with_name(folder.name + ".new")
    new.mkdir(parents=True, exist_ok=True)
    for field, file in FILES.items():
        np.save(new / f"{file}.npy", getattr(walks, field))
    (new / META).write_text(json.dumps(meta))
    new.rename(folder)


def read(folder: Path, autoencoder: str = "") -> list[Walks]:
    """Every shard of a folder, mapped.

    Args:
        autoencoder: the fingerprint of the weights that latents have to be of; any, where it is empty.

    Raises:
        DataError: no shard there, or latents of another autoencoder.
    """
    found = []
    for shard in _shards(folder):
        meta = json.loads((shard / META).read_text())
        if autoencoder and meta["autoencoder"] != autoencoder:
            raise DataError(
                f"{shard} holds latents of another autoencoder ({meta['autoencoder']}, expected {autoencoder}); "
                "collect walks again for this checkpoint"
            )
        found.append(
            Walks(**{field: np.load(shard / f"{file}.npy", mmap_mode="r") for field, file in FILES.items()})
        )
    return found


def episodes(shards: list[Walks]) -> Iterator[tuple[int, int]]:
    """(shard, episode) of every episode."""
    for i, shard in enumerate(shards):
        for j in range(len(shard)):
            yield i, j


def _shards(folder: Path) -> list[Path]:
    shards = sorted(p for p in folder.glob("*") if (p / META).exists() and not p.name.endswith(".new"))
    if not shards:
        raise DataError(f"no walks in {folder}; make some with `worldsim train walks out={folder}`")
    return shards
