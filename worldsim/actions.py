"""The action language a model was trained on, rebuilt from the description in its checkpoint."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces

ActionSpec = dict[str, Any]


class ActionSpecMismatch(ValueError):
    """Two things that must speak one action language do not."""


class ActionSpecDamaged(ValueError):
    """A description of an action language that describes none."""


FIELDS, CHOICES, NUMBERS = 256, 65_536, 1_048_576
"""At most: fields of an action language, choices of a Discrete, numbers of a Box."""


def check_spec(spec: Any) -> None:
    """Whether :func:`space_from_spec` can rebuild a space, one of a size that memory holds.

    Raises:
        ActionSpecDamaged: it can not.
    """
    try:
        fields = spec["fields"]
        names = [field["name"] for field in fields]
        sizes = [
            int(field["n"])
            if field["kind"] == "discrete"
            else math.prod(int(side) for side in field["shape"])
            for field in fields
        ]
        whole = (
            isinstance(spec["family"], str)
            and all(isinstance(name, str) for name in names)
            and {field["kind"] for field in fields} <= {"discrete", "box"}
            and len(set(names)) == len(names) <= FIELDS
            and all(
                1 <= size <= (CHOICES if field["kind"] == "discrete" else NUMBERS)
                for size, field in zip(sizes, fields, strict=True)
            )
        )
        if not whole or not fields:
            raise ValueError("it has no fields, or too large ones")
        space_from_spec(spec)
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError, OverflowError) as error:
        raise ActionSpecDamaged(f"its action_spec describes no actions: {str(error)[:120]}") from None


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
