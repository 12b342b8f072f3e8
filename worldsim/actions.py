"""The action language a model was trained on, rebuilt from the description in its checkpoint."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

ActionSpec = dict[str, Any]


class ActionSpecMismatch(ValueError):
    """Two things that must speak one action language do not."""


def space_from_spec(spec: ActionSpec) -> spaces.Space[Any]:
    """Rebuild the gymnasium space that a spec describes (``envs.actions.spec`` wrote it)."""
    fields = {f["name"]: _space(f) for f in spec["fields"]}
    if list(fields) == [""]:
        return fields[""]
    return spaces.Dict(fields)


def _space(field: dict[str, Any]) -> spaces.Space[Any]:
    if field["kind"] == "discrete":
        return spaces.Discrete(int(field["n"]))
    dtype = np.dtype(field["dtype"])
    low, high = np.array(field["low"], dtype), np.array(field["high"], dtype)
    return spaces.Box(low, high, tuple(field["shape"]), dtype.type)


def vector(space: spaces.Space[Any], action: Any) -> np.ndarray:
    """An action as the model sees it: float32 (D,), ``gymnasium.spaces.flatten`` of it."""
    return np.asarray(spaces.flatten(space, action), np.float32)


def as_vector(space: spaces.Space[Any], action: Any) -> np.ndarray:
    """:func:`vector` of a raw action; an action that is float32 (D,) already passes as it is."""
    size = spaces.flatdim(space)
    if isinstance(action, np.ndarray) and action.dtype == np.float32 and action.shape == (size,):
        return action
    return vector(space, action)


def check_same(a: ActionSpec, b: ActionSpec, what_a: str, what_b: str) -> None:
    """Refuse to mix action languages.

    Raises:
        ActionSpecMismatch: the specs differ; the message names both owners and both languages.
    """
    if a != b:
        raise ActionSpecMismatch(
            f"{what_a} speaks {_brief(a)} but {what_b} speaks {_brief(b)}; use data and checkpoints of one family"
        )


def _brief(spec: ActionSpec) -> str:
    names = [f["name"] or f"{f['kind']}{f.get('shape', '')}" for f in spec["fields"]]
    return f"{spec['family']} actions ({', '.join(names)})"
