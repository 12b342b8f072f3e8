"""The policies by name; replay plays an episode again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import gymnasium

from envs.episodes.episode import Episode
from envs.policies.build import Build
from envs.policies.clearance import in_world
from envs.policies.explore import Explore
from envs.policies.hold_keys import HoldKeys
from envs.policies.needle import Needle
from envs.policies.random_play import RandomPlay
from envs.policies.roam import LookAround, Roam, sight_of

NAMES = ("explore", "needle", "random", "replay", "roam", "look_around", "hold_keys", "build")


class Policy(Protocol):
    """Something that plays: ``reset(info)`` after the environment's reset, then an action per frame."""

    @property
    def done(self) -> bool:
        """Whether there is nothing more to play."""

    def reset(self, info: dict[str, Any]) -> None:
        """Begin an episode from the ``info`` of the environment's reset."""

    def __call__(self, observation: Any, info: dict[str, Any]) -> Any:
        """The raw action for what the environment showed last."""


class Replay:
    """The actions of a recorded episode, those before its first frame included.

    Reset the environment with ``seed`` and ``options`` to get the recorded frames again. After the last
    action ``done`` is True, and one more call raises StopIteration.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], seed: int = 0, *, episode: Episode | str | Path) -> None:
        found = episode if isinstance(episode, Episode) else Episode(episode)
        self.seed: int = found.meta["seed"]
        self.options: dict[str, Any] | None = found.meta.get("reset_options")
        prelude = found.prelude
        self.skip = len(prelude)
        self._actions = [*prelude, *(found.action(i) for i in range(len(found) - 1))]
        self._next = 0

    @property
    def done(self) -> bool:
        """Whether the last action was given."""
        return self._next == len(self._actions)

    def reset(self, info: dict[str, Any]) -> None:
        """Begin at the first action."""
        self._next = 0

    def __call__(self, observation: Any, info: dict[str, Any]) -> Any:
        """The next recorded action."""
        if self.done:
            raise StopIteration("the replayed episode has no more actions")
        self._next += 1
        return self._actions[self._next - 1]


def make(name: str, env: gymnasium.Env[Any, Any], seed: int = 0, **options: Any) -> Policy:
    """The policy of this name for this environment; ``replay`` needs ``episode=``.

    Raises:
        ValueError: there is no policy of this name, or the world has no walk map to play it by.
    """
    if name in ("explore", "needle", "roam") and not hasattr(env.unwrapped, "walkmap"):
        raise ValueError(
            f"the {name} policy finds its way by a walk map, which this world does not have; take random"
        )
    if name == "explore":
        return Explore(env, seed)
    if name == "needle":
        return Needle(env, seed)
    if name == "roam":
        family: str = env.unwrapped.family  # type: ignore[attr-defined]
        return Roam(family, in_world(env, sight_of(family).most), seed)
    if name == "look_around":
        return LookAround(env.unwrapped.family, seed)  # type: ignore[attr-defined]
    if name == "hold_keys":
        return HoldKeys(env.unwrapped.family, seed)  # type: ignore[attr-defined]
    if name == "build":
        return Build(env.unwrapped.family, seed)  # type: ignore[attr-defined]
    if name == "random":
        return RandomPlay(env, seed)
    if name == "replay":
        return Replay(env, seed, **options)
    raise ValueError(f"expected a policy of {', '.join(NAMES)}, found {name!r}")
