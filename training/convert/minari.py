"""Episodes as a Minari data set, pictures lossless (extra ``minari``)."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from envs.episodes.episode import Episode
from worldsim.actions import space_from_spec

NOTE = ".minari-writing"
"""File of the folder while an episode is added to a data set: which one, and its metadata before (null: a new one)."""
METADATA, PICTURES = "data/metadata.json", "data/main_data.hdf5"


class MinariMissing(ValueError):
    """The library is not installed."""


class MinariDamaged(ValueError):
    """A data set that a run left behind which was killed while it wrote, and that cannot be read any more."""


def write(episode: Episode, folder: Path, name: str) -> Path:
    """Add an episode to the data set ``worldsim/FAMILY-SIZE-v0`` below ``folder``, which is made with the first.

    Minari makes JPEG of pictures unless told otherwise; here it is told otherwise. To load it, set
    MINARI_DATASETS_PATH to ``folder``.

    Args:
        name: of the episode, kept in its infos.

    What a run that was killed here left half written is taken back first.

    Raises:
        MinariMissing: the library is not installed.
        MinariDamaged: what was left cannot be read.
    """
    try:
        import minari
        from minari.data_collector import EpisodeBuffer
    except ImportError as error:
        raise MinariMissing(
            f"--to minari needs the minari library, which is not here ({error}): pip install 'minari[hdf5]'"
        ) from None
    family, size, count = episode.meta["family"], int(episode.meta["size"]), len(episode)
    moves = [episode.action(i) for i in range(count - 1)]
    keyed = isinstance(moves[0], dict)
    actions: Any = {k: [m[k] for m in moves] for k in moves[0]} if keyed else moves
    steps = episode.steps
    buffer = EpisodeBuffer(
        seed=int(episode.meta["seed"] or 0),
        observations={"pov": list(episode.frames())},
        actions=actions,
        rewards=steps["reward"].tolist(),
        terminations=steps["terminated"].tolist(),
        truncations=_ended(steps["terminated"], steps["truncated"]),
        infos={"episode": [name] * count},
    )
    made = f"worldsim/{re.sub(r'[^A-Za-z0-9_.-]+', '-', family)}-{size}-v0"
    pov = gymnasium.spaces.Box(0, 255, (size, size, 3), np.uint8)
    with _below(folder), _whole(folder, made):
        if (folder / made).is_dir():
            before = minari.load_dataset(made)
            if _newest(before) != name:  # else it was written whole by a run that was then interrupted
                before.update_dataset_from_buffer([buffer])
        else:
            minari.create_dataset_from_buffers(
                made,
                [buffer],
                env=_spec(episode),
                action_space=space_from_spec(episode.meta["action_spec"]),
                observation_space=gymnasium.spaces.Dict({"pov": pov}),
                description=f"Recorded with worldsim, backend {episode.meta.get('backend')}; pictures lossless.",
                algorithm_name="recorded play",
                data_format="hdf5",
                jpeg_encoding=False,
            )
    return folder / made


@contextmanager
def _whole(folder: Path, made: str) -> Iterator[None]:
    """Add to the data set ``made`` below ``folder`` whole or not at all: after a kill the next time undoes the half."""
    note, metadata = folder / NOTE, folder / made / METADATA
    if note.exists():
        _take_back(folder, **json.loads(note.read_text()))
        note.unlink()
    new = note.with_name(f"{NOTE}.new")
    new.write_text(json.dumps({"made": made, "before": metadata.read_text() if metadata.exists() else None}))
    new.replace(note)
    yield
    note.unlink()


def _take_back(folder: Path, made: str, before: str | None) -> None:
    import h5py

    data = folder / made
    if before is None:  # it held nothing yet
        shutil.rmtree(data, ignore_errors=True)
        if data.parent.is_dir() and not any(path.is_dir() for path in data.parent.iterdir()):
            shutil.rmtree(data.parent)
        return
    (data / METADATA).write_text(before)
    kept = {f"episode_{i}" for i in range(json.loads(before)["total_episodes"])}
    try:
        with h5py.File(data / PICTURES, "a") as file:
            if missing := kept - set(file):
                raise OSError(f"{len(missing)} of {len(kept)} episodes are missing")
            for name in set(file) - kept:
                del file[name]
    except (OSError, RuntimeError) as error:
        raise MinariDamaged(
            f"{data} was left half written by a run that was killed ({error}); remove it and {folder / '.done'}, "
            "and convert again"
        ) from None


def _newest(dataset: Any) -> str | None:
    """The name of the episode that was added last."""
    described = next(iter(dataset.storage.get_episodes([dataset.total_episodes - 1])))["infos"].get("episode")
    if described is None or not len(described):
        return None
    return described[0].decode() if isinstance(described[0], bytes) else str(described[0])


def _spec(episode: Episode) -> Any:
    """What Minari makes the world of again, where the episode tells one that is registered."""
    import envs  # noqa: F401  (registers the worlds)

    if episode.meta["env_id"] not in gymnasium.registry:
        return None
    spec = copy.deepcopy(gymnasium.spec(episode.meta["env_id"]))
    spec.kwargs = dict(episode.meta["env_kwargs"])
    return spec


def _ended(terminated: np.ndarray, truncated: np.ndarray) -> list[bool]:
    """An episode of Minari ends somehow: one that was only cut short is truncated at its last step."""
    truncations: list[bool] = truncated.tolist()
    truncations[-1] = truncations[-1] or not bool(terminated[-1])
    return truncations


@contextmanager
def _below(folder: Path) -> Iterator[None]:
    """Minari keeps its data sets where this variable says."""
    before = os.environ.get("MINARI_DATASETS_PATH")
    os.environ["MINARI_DATASETS_PATH"] = str(folder.resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ["MINARI_DATASETS_PATH"]
        else:
            os.environ["MINARI_DATASETS_PATH"] = before
