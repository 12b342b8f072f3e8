"""What can be dreamt of: a world that is played here, or a folder of recordings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from envs.adapters.gym_world import PREFIX
from training.collect import ENVS
from training.data.episodes import open_episodes
from worldsim.config import ConfigError

SHORTEST = 33
"""Frames of an episode from which a memory of pixels and a generator can be learned."""
SCALES = {"minecraft": 4.0}
"""The unit of position of a family's worlds in their own units, where it is not 1."""


@dataclass(frozen=True)
class World:
    """A world, or what was recorded of one.

    Attributes:
        name: as it was typed.
        env: what `training.collect` calls it; empty where recordings are given.
        recordings: their folder, where they are given.
        family, backend: what the player calls it.
        posed: whether it tells poses, on walks long enough to learn a memory of pixels from.
    """

    name: str
    env: str
    recordings: Path | None
    family: str
    backend: str
    posed: bool

    @property
    def slug(self) -> str:
        """Its name as a part of a file's name."""
        return re.sub(r"[^\w.-]+", "-", self.name).strip("-.") or "recordings"

    @property
    def policy(self) -> str:
        """Who plays it, where nothing else is asked for: what tells no map is played at random."""
        return "random" if self.env.startswith(PREFIX) else "mixed"

    @property
    def scene_scale(self) -> float:
        """Its unit of position in its own units."""
        return SCALES.get(self.family, 1.0)

    def play(self, checkpoint: Path) -> str:
        """The command that plays it beside a dream."""
        words = ["worldsim play --env", self.family]
        if self.backend not in ("", "embedded", "gymnasium", "vizdoom"):
            words += ["--backend", self.backend]
        path = str(checkpoint)
        return " ".join([*words, "--checkpoint", f'"{path}"' if " " in path else path])


def find(name: str) -> World:
    """The world of a name, or of the recordings in a folder of that name.

    Raises:
        ConfigError: there is neither.
        DataError: the folder holds no episode, or episodes that do not belong together.
    """
    if name in ENVS:
        return World(name, name, None, *ENVS[name], posed=True)
    if name.startswith(PREFIX) and name != PREFIX:
        return World(name, name, None, name, "gymnasium", posed=False)
    folder = Path(name)
    if not folder.is_dir():
        raise ConfigError(
            f"expected a world ({', '.join(ENVS)}, {PREFIX}ENV_ID), a folder of recordings or a part "
            f"(worldsim train --help), found {name!r}"
        )
    episodes = open_episodes(folder)
    meta = episodes[0].meta
    long = [e for e in episodes if e.poses is not None and len(e) >= SHORTEST]
    return World(
        name,
        "",
        folder,
        str(meta.get("family") or "minecraft"),
        str(meta.get("backend") or ""),
        posed=len(long) > 1,
    )
