"""A replay is played in the world that the player names; the file says with which options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs import actions
from envs.episodes.episode import Episode, EpisodeWriter
from envs.worlds import World


def _episode(folder: Path, **kwargs: Any) -> Episode:
    spec = actions.spec(actions.space("dmlab"), "dmlab")
    writer = EpisodeWriter(folder, "one", {"action_spec": spec, "size": 32, "seed": 1, "env_kwargs": kwargs})
    writer.first(np.zeros((32, 32, 3), np.uint8))
    writer.add(actions.noop("dmlab"), np.zeros((32, 32, 3), np.uint8))
    return Episode(writer.seal())


@pytest.mark.parametrize(
    ("kwargs", "told"),
    [
        ({"world": "antigravity:Now-v0"}, "give it as --env"),
        ({"size": 10**6}, "size of 1000000 pixels"),
        ({"size": "large"}, "size of 'large' pixels"),
        ({"size": 32, "cheats": True}, "options that dmlab does not have"),
    ],
)
def test_an_episode_does_not_choose_the_world_nor_a_size_beyond_all_bounds(
    tmp_path: Path, kwargs: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        World("dmlab", "embedded", 32, 0, _episode(tmp_path, **kwargs), None, False)
