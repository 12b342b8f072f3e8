"""Episodes as a Minari data set, pictures lossless (extra ``minari``)."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from envs.episodes.episode import Episode
from worldsim.actions import space_from_spec


class MinariMissing(ValueError):
    """The library is not installed."""


def write(episode: Episode, folder: Path, name: str) -> Path:
    """Add an episode to the data set ``worldsim/FAMILY-SIZE-v0`` below ``folder``, which is made with the first.

    Minari makes JPEG of pictures unless told otherwise; here it is told otherwise. To load it, set
    MINARI_DATASETS_PATH to ``folder``.

    Args:
        name: of the episode, kept in its infos.

    Raises:
        MinariMissing: the library is not installed.
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
    with _below(folder):
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
