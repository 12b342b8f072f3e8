"""What a recorded episode is made of: names of its parts, its error, and actions as arrays and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

FORMAT = 1
ALIGNMENT = "action i leads from frame i to frame i+1"
META, STEPS, STEP_LINES, PRELUDE_LINES = "meta.json", "steps.npz", "steps.jsonl", "prelude.jsonl"


class EpisodeError(ValueError):
    """A file is not an episode, or not a whole one; or an episode of that name exists already."""


def frame_name(index: int) -> str:
    """Where frame ``index`` lies inside the zip."""
    return f"frames/{index:06d}.png"


def action_to_json(action: Any) -> Any:
    """A raw action as plain lists and numbers; float32 and integers survive the way there and back."""
    if isinstance(action, Mapping):
        return {name: np.asarray(value).tolist() for name, value in action.items()}
    return np.asarray(action).tolist()


def stack_actions(
    actions: Sequence[Any], spec: Mapping[str, Any], prefix: str = "action"
) -> dict[str, np.ndarray]:
    """T raw actions as arrays ``prefix`` (Box) or ``prefix.FIELD`` (Dict), each (T, *field shape).

    Raises:
        EpisodeError: an action lacks a field of the spec or has another shape.
    """
    arrays = {}
    for field in spec["fields"]:
        name, dtype, shape = field["name"], _dtype(field), tuple(field.get("shape", ()))
        try:
            values = [np.asarray(a[name] if name else a, dtype) for a in actions]
            arrays[_key(prefix, name)] = (
                np.stack(values).reshape(-1, *shape) if values else np.zeros((0, *shape), dtype)
            )
        except (KeyError, TypeError, ValueError) as error:
            raise EpisodeError(
                f"an action does not fit field {name!r} of {spec['family']}: {error!r}"
            ) from None
    return arrays


def take_action(
    arrays: Mapping[str, np.ndarray], spec: Mapping[str, Any], i: int, prefix: str = "action"
) -> Any:
    """The raw action in row ``i``, as the environment takes it: int for Discrete, array for Box."""
    values = {}
    for field in spec["fields"]:
        row = arrays[_key(prefix, field["name"])][i]
        values[field["name"]] = int(row) if field["kind"] == "discrete" else np.array(row)
    return values[""] if list(values) == [""] else values


def action_vectors(
    arrays: Mapping[str, np.ndarray], spec: Mapping[str, Any], prefix: str = "action"
) -> np.ndarray:
    """All actions as the model sees them: float32 (T, D), row by row ``gymnasium.spaces.flatten``."""
    columns = []
    for field in spec["fields"]:
        array = arrays[_key(prefix, field["name"])]
        if field["kind"] == "discrete":
            columns.append(np.eye(field["n"], dtype=np.float32)[array])  # (T, n)
        else:
            columns.append(array.reshape(len(array), int(np.prod(field["shape"]))).astype(np.float32))
    return np.concatenate(columns, axis=1)


def _key(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if name else prefix


def _dtype(field: Mapping[str, Any]) -> np.dtype[Any]:
    return np.dtype(np.int64 if field["kind"] == "discrete" else field["dtype"])
