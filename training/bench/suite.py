"""Suites: worlds, seeds, action scripts and contexts under a name and a version; others repeat them to the frame.

A suite is a folder: ``suite.json`` says what it holds, ``actions.npz`` has actions (T, D) for every episode, as
``gymnasium.spaces.flatten`` lays them out. The true frames follow from world, seed and actions; their digest is
written down, so that whoever repeats them knows whether they are the same. A world that does not repeat itself on
another machine (Luanti's maps) has no actions in the file: its policy plays there.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.episodes.arrays import ArraysError, read_arrays
from envs.episodes.limits import ARRAYS
from worldsim.config import ConfigError, shipped

FORMAT = 1
ABOUT, ACTIONS = "suite.json", "actions.npz"
WORLDS = ("blocks", "labmaze", "luanti")
TASKS = ("needle", "ahead", "free", "mirror", "loop", "still", "actions")


@dataclass(frozen=True)
class Script:
    """One episode of a suite.

    Attributes:
        id: its name in the suite.
        world, task: of ``WORLDS`` and of ``TASKS``.
        seed: of the world, and of the policy that wrote the actions.
        context: true frames that a model is shown before it goes on alone.
        frames: of the episode, context included; 0 where a policy decides that there.
        marks: frames at which a part begins (of ``mirror`` the way out and the way back, of ``loop`` each leg).
        options: what else the policy was told.
        digest: of the true frames, 16 digits of SHA-256; empty where the world does not repeat itself.
    """

    id: str
    world: str
    task: str
    seed: int
    context: int
    frames: int = 0
    marks: tuple[int, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    digest: str = ""

    @property
    def group(self) -> str:
        """What its numbers are told under, beside the key: a loop's kind and range, else nothing."""
        return str(self.options.get("group", ""))


@dataclass(frozen=True)
class Suite:
    """What is measured; read by :func:`find`."""

    folder: Path
    name: str
    version: int
    size: int
    about: str
    scripts: tuple[Script, ...]

    @property
    def label(self) -> str:
        """Name and version, as results tell them."""
        return f"{self.name}-v{self.version}"

    @cached_property
    def digest(self) -> str:
        """Of all that it says, 16 digits."""
        parts = hashlib.sha256()
        for name in (ABOUT, ACTIONS):
            parts.update((self.folder / name).read_bytes())
        return parts.hexdigest()[:16]

    @cached_property
    def _actions(self) -> dict[str, NDArray[np.float32]]:
        try:
            with (self.folder / ACTIONS).open("rb") as file:
                return read_arrays(file, ARRAYS)
        except (OSError, ArraysError) as error:
            raise ConfigError(f"suite {self.folder}: {ACTIONS} cannot be read: {error}") from None

    def mark(self, script: Script) -> str:
        """16 digits of all that an episode is made of; other episodes have no part in it."""
        parts = hashlib.sha256(json.dumps([self.size, asdict(script)], sort_keys=True).encode())
        if (written := self.actions(script)) is not None:
            parts.update(np.ascontiguousarray(written).tobytes())
        return parts.hexdigest()[:16]

    def actions(self, script: Script) -> NDArray[np.float32] | None:
        """The actions (T, D) of an episode; None where a policy plays it anew."""
        return self._actions.get(script.id)


def names() -> list[str]:
    """The suites that come with the program."""
    return sorted(path.parent.name for path in (shipped.ASSETS / "suites").glob(f"*/{ABOUT}"))


def find(name: str) -> Suite:
    """A suite by its name, or by the path of its folder.

    Raises:
        ConfigError: there is none, or it is of a newer format or damaged.
    """
    folder = shipped.ASSETS / "suites" / name
    if not (folder / ABOUT).is_file():
        folder = Path(name)
    try:
        described = json.loads((folder / ABOUT).read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"suite: expected one of {', '.join(names())} or a folder with {ABOUT}, found {name}"
        ) from None
    except ValueError as error:
        raise ConfigError(f"suite {folder}: {ABOUT} is no JSON: {error}") from None
    if described.get("format") != FORMAT:
        raise ConfigError(
            f"suite {folder}: has format {described.get('format')}, this program reads format {FORMAT}; update it"
        )
    try:
        scripts = tuple(Script(**{**row, "marks": tuple(row["marks"])}) for row in described["episodes"])
        suite = Suite(
            folder,
            described["name"],
            int(described["version"]),
            int(described["size"]),
            described["about"],
            scripts,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"suite {folder}: {ABOUT} does not describe one: {error!r}") from None
    if bad := [s.id for s in scripts if s.world not in WORLDS or s.task not in TASKS]:
        raise ConfigError(f"suite {folder}: episode {bad[0]} is of a world or task that is unknown here")
    return suite


def write(
    folder: Path,
    name: str,
    version: int,
    size: int,
    about: str,
    scripts: list[Script],
    actions: dict[str, NDArray[np.float32]],
) -> Suite:
    """Write a suite; what lay in the folder under these names is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ",\n".join("  " + json.dumps(asdict(script)) for script in scripts)
    head = {"format": FORMAT, "name": name, "version": version, "size": size, "about": about}
    top = json.dumps(head, indent=1)[:-2]
    (folder / ABOUT).write_text(f'{top},\n "episodes": [\n{rows}\n ]\n}}\n', "utf-8")
    with (folder / ACTIONS).open("wb") as file:
        np.savez_compressed(file, **actions)  # type: ignore[arg-type]
    return find(str(folder))
