"""The state of a true world that can restore it: ``save_state()`` and ``load_state(arrays)``, found under wrappers."""

from __future__ import annotations

from typing import Any

import numpy as np

from worldsim.session.snapshot import Snapshot, SnapshotError

NAMES = ("family", "backend", "version")


def save(env: Any) -> Snapshot:
    """What the world is and where it stands.

    Raises:
        SnapshotError: this world cannot restore a state.
    """
    return Snapshot(_identity(env), dict(_method(env, "save_state")()))


def check(env: Any, snapshot: Snapshot) -> None:
    """Whether a state is one of this world.

    Raises:
        SnapshotError: it is not, or this world cannot restore a state.
    """
    _method(env, "load_state")
    if snapshot.tree != (here := _identity(env)):
        kept = ", ".join(f"{name} {snapshot.tree.get(name)}" for name in here)
        raise SnapshotError(f"this state is of another world ({kept}); here is {_words(here)}")


def load(env: Any, snapshot: Snapshot) -> tuple[Any, dict[str, Any]]:
    """Put the world back; what its reset gives, observation and info.

    Raises:
        SnapshotError: the state is not whole.
    """
    try:
        observation, info = _method(env, "load_state")({k: np.array(v) for k, v in snapshot.arrays.items()})
    except (LookupError, TypeError, ValueError) as error:
        raise SnapshotError(f"this state of the world is not whole ({str(error)[:100]})") from None
    return observation, info


def _method(env: Any, name: str) -> Any:
    world = getattr(env, "unwrapped", env)
    if not hasattr(world, name):
        raise SnapshotError("this true world cannot go back to a state, so that there is no bookmark here")
    return env.get_wrapper_attr(name) if hasattr(env, "get_wrapper_attr") else getattr(world, name)


def _identity(env: Any) -> dict[str, Any]:
    world = getattr(env, "unwrapped", env)
    return {name: getattr(world, name, None) for name in NAMES}


def _words(identity: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in identity.items())
