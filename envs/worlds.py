"""A world to be played: the environment of a family, its recorder, and who plays it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import gymnasium

import envs  # noqa: F401  (registers the worlds)
from envs.actions import space
from envs.adapters.gym_make import PREFIX
from envs.compile import jobs
from envs.episodes.episode import Episode
from envs.episodes.limits import SIDE
from envs.episodes.playback import Playback
from envs.episodes.recorder import Recorder
from envs.policies import registry as policies
from envs.policies.needle_macro import NeedleMacro

IDS = {
    ("minecraft", "embedded"): "worldsim/Blocks-v0",
    ("minecraft", "luanti"): "worldsim/Luanti-v0",
    ("minecraft", "minerl"): "worldsim/MineRL-v0",
    ("dmlab", "embedded"): "worldsim/LabMaze-v0",
    ("dmlab", "deepmind_lab"): "worldsim/DeepMindLab-v0",
    ("doom", "vizdoom"): "worldsim/ViZDoom-v0",
}
BACKENDS = {backend for _, backend in IDS}
OURS = {*BACKENDS, "gymnasium", None}  # of recordings that were made here, and can be played again
RECORDINGS = Path("recordings")  # where a recording goes that was given no folder


def compilers(family: str, backend: str) -> dict[Path, list[list[str]]]:
    """What compiles a world's kernels: the words after ``python``, job by job, by the folder of its sources."""
    folders = {"worldsim/Blocks-v0": "blocks", "worldsim/LabMaze-v0": "labmaze"}
    return jobs(folders.get(IDS.get((family, backend), ""), ""))


def identify(family: str, backend: str) -> tuple[str, dict[str, Any]]:
    """The registered id of a world, and what it takes besides its size."""
    if family.startswith(PREFIX):
        return "worldsim/Gym-v0", {"world": family.removeprefix(PREFIX)}
    return IDS[family, backend], {}


def _recorded(episode: Episode, asked: dict[str, Any]) -> dict[str, Any]:
    """The options that an episode was recorded with; which world is made says the player, and never the file."""
    kwargs = episode.meta["env_kwargs"]
    size = kwargs.get("size", episode.meta["size"])
    if not isinstance(size, int) or not 1 <= size <= SIDE:
        raise ValueError(f"{episode.path} says that it was recorded with a size of {size!r} pixels")
    if (world := kwargs.get("world", asked.get("world"))) != asked.get("world"):
        raise ValueError(f"{episode.path} was recorded in {PREFIX}{world}; give it as --env")
    pictures = {"version": 1} if "world" in asked and episode.meta["env_version"] == 1 else {}
    return pictures | kwargs | asked


class World:
    """The true world of one run.

    Args:
        family: "minecraft", "dmlab", "doom" or "gym:ID".
        backend: what draws it: "embedded", or a real engine that has to be installed.
        size: height and width of the picture in pixels.
        seed: which world.
        episode: the recording to replay, whose world, seed and size then count instead. One that was not recorded
            here is watched: its own pictures are the truth.
        record: record everything into this folder.
        recordable: whether a recording may be started later, into ``recordings/``.
        version: of a Gymnasium world, the one that a dream was trained in; None is the newest, or the episode's.

    Raises:
        OSError: nothing can be recorded into that folder.
        ValueError: the episode was recorded in another world, or with options that this one does not
            have; or the engine is not installed.
    """

    def __init__(
        self,
        family: str,
        backend: str,
        size: int,
        seed: int,
        episode: Episode | None,
        record: Path | None,
        recordable: bool,
        version: int | None = None,
    ) -> None:
        self.env: gymnasium.Env[Any, Any]
        if episode is not None and episode.meta["backend"] not in OURS:
            self.env = Playback(episode, space(family))
        else:
            self.env = self._made(family, backend, size, episode, version)
        self.recorder: Recorder | None = None
        if record or recordable:
            self.env = self.recorder = Recorder(
                self.env, record or RECORDINGS, autostart=record is not None, background=True
            )
        self.replay = policies.Replay(self.env, episode=episode) if episode else None
        self.seed = self.replay.seed if self.replay else seed
        self.options = self.replay.options if self.replay else None

    @staticmethod
    def _made(
        family: str, backend: str, size: int, episode: Episode | None, version: int | None
    ) -> gymnasium.Env[Any, Any]:
        name, kwargs = identify(family, backend)
        if version is not None and "world" in kwargs and episode is None:
            kwargs["version"] = version
        kwargs = _recorded(episode, kwargs) if episode else {"size": size, **kwargs}
        if episode and (recorded := episode.meta.get("backend")) in BACKENDS and recorded != backend:
            raise ValueError(f"{episode.path} was recorded with --backend {recorded}, not {backend}; say so")
        try:
            return gymnasium.make(name, disable_env_checker=True, **kwargs)
        except TypeError as error:
            if episode is None:
                raise
            raise ValueError(
                f"{episode.path} was recorded with options that {family} does not have: {error}"
            ) from error

    def player(self, name: str, info: dict[str, Any]) -> policies.Policy:
        """Who plays an episode that begins with this ``info``: the replay where there is one, or a policy."""
        policy = self.replay or policies.make(name, self.env, self.seed)
        policy.reset(info)
        return policy

    def needle(self, info: dict[str, Any]) -> NeedleMacro:
        """A needle macro from the present moment, another one each time."""
        return NeedleMacro(self.env, info, random.randrange(2**31))
