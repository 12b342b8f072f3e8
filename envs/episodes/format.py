"""What a recorded episode is made of: names of its parts, its error, and actions as arrays and back."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from envs.episodes import limits

FORMAT = 1
ALIGNMENT = "action i leads from frame i to frame i+1"
META, STEPS, STEP_LINES, PRELUDE_LINES = "meta.json", "steps.npz", "steps.jsonl", "prelude.jsonl"
SUMS = "SHA256SUMS"  # of every frame and of steps.npz, as sha256sum writes them; meta.json says its own
LONGEST = 120  # bytes of such a part
POSE = 5  # numbers: x, y, z, yaw, pitch


class EpisodeError(ValueError):
    """A file is not an episode, or not a whole one; or an episode of that name exists already."""


def file_name(text: str) -> str:
    """A text, such as the name of a world, as part of a file's name; a long one ends in digits of a hash."""
    name = re.sub(r"[^\w.-]+", "-", text)
    if len(os.fsencode(name)) <= LONGEST:
        return name
    digits = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name.encode()[: LONGEST - 9].decode(errors='ignore')}-{digits}"


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
        EpisodeError: an action lacks a field of the spec, has another number of values, or fractions where it has none.
    """
    arrays = {}
    for field in spec["fields"]:
        name, dtype, shape = field["name"], _dtype(field), tuple(field.get("shape", ()))
        try:
            values = [_whole(a[name] if name else a, dtype).reshape(shape) for a in actions]
            arrays[_key(prefix, name)] = np.stack(values) if values else np.zeros((0, *shape), dtype)
        except (KeyError, IndexError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise EpisodeError(
                f"an action does not fit field {name!r} of {spec['family']}: {error!r}"
            ) from None
    return arrays


def check_action(action: Any, spec: Mapping[str, Any]) -> None:
    """Whether a raw action is one of this action language.

    Raises:
        EpisodeError: it is not.
    """
    arrays = stack_actions([action], spec)
    for field in spec["fields"]:
        _check_actions(arrays, "action", field, 1)


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
    """All actions as the model sees them: float32 (T, D), row by row ``gymnasium.spaces.flatten``.

    Raises:
        EpisodeError: they would have more than ``limits.VECTORS`` bytes.
    """
    rows = len(arrays[_key(prefix, spec["fields"][0]["name"])])
    width = sum(f["n"] if f["kind"] == "discrete" else int(np.prod(f["shape"])) for f in spec["fields"])
    if rows * width * 4 > limits.VECTORS:
        raise EpisodeError(f"{rows} actions of {width} numbers are more than {limits.VECTORS >> 20} MiB")
    columns = []
    for field in spec["fields"]:
        array = arrays[_key(prefix, field["name"])]
        if field["kind"] == "discrete":
            chosen = np.zeros((len(array), field["n"]), np.float32)  # (T, n)
            chosen[np.arange(len(array)), array] = 1
            columns.append(chosen)
        else:
            columns.append(array.reshape(len(array), int(np.prod(field["shape"]))).astype(np.float32))
    return np.concatenate(columns, axis=1)


def fitted(arrays: Mapping[str, np.ndarray], frames: int, spec: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of an episode of so many frames; reward, terminated and truncated are zeros where they are missing.

    Raises:
        EpisodeError: one is missing, or of another length, shape or type than the action language says.
    """
    found = dict(arrays)
    for field in spec["fields"]:
        _check_actions(found, "action", field, frames - 1)
    before = [name for name in found if name.startswith("prelude.action")]
    if before:
        rows = len(np.atleast_1d(found[before[0]]))
        for field in spec["fields"]:
            _check_actions(found, "prelude.action", field, rows)
    if "pose" in found:
        pose = found["pose"]
        if pose.shape != (frames, POSE) or pose.dtype.kind != "f" or not np.isfinite(pose).all():
            raise EpisodeError(f"expected poses ({frames}, {POSE}), found {pose.dtype} {pose.shape}")
    for name, dtype in (("reward", np.float64), ("terminated", np.bool_), ("truncated", np.bool_)):
        column = found.setdefault(name, np.zeros(frames - 1, dtype))
        if column.shape != (frames - 1,):
            raise EpisodeError(f"expected {name} ({frames - 1},), found {column.shape}")
    return found


def _check_actions(
    arrays: Mapping[str, np.ndarray], prefix: str, field: Mapping[str, Any], rows: int
) -> None:
    name = _key(prefix, field["name"])
    if (array := arrays.get(name)) is None:
        raise EpisodeError(f"{name} is missing")
    if array.shape != (rows, *field.get("shape", ())):
        raise EpisodeError(
            f"expected {rows} rows of {tuple(field.get('shape', ()))} in {name}, found {array.shape}"
        )
    if field["kind"] == "discrete":
        n = field["n"]
        if array.dtype.kind not in "iu" or (len(array) and not -n <= array.min() <= array.max() < n):
            raise EpisodeError(f"expected choices of {n} in {name}, found others")
    elif array.dtype != _dtype(field):
        raise EpisodeError(f"expected {_dtype(field)} in {name}, found {array.dtype}")
    elif not np.isfinite(array).all():
        raise EpisodeError(f"expected finite numbers in {name}, found others")


def _whole(value: Any, dtype: np.dtype[Any]) -> np.ndarray:
    """As an array of this type, which must not cost a fraction of it."""
    found = np.asarray(value, dtype)
    if dtype.kind in "iu" and not isinstance(value, int) and not np.array_equal(found, value):
        raise ValueError(f"{value} is not whole")
    return found


def _key(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if name else prefix


def _dtype(field: Mapping[str, Any]) -> np.dtype[Any]:
    return np.dtype(np.int64 if field["kind"] == "discrete" else field["dtype"])
