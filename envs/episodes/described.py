"""What meta.json may say: checked once, when an episode is opened, so that nobody behind it needs to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from envs.episodes import limits
from envs.episodes.format import FORMAT

_OTHERS: dict[str, tuple[type, ...]] = {
    "env_id": (str,),
    "backend": (str,),
    "family": (str,),
    "fov": (int, float),
    "env_kwargs": (dict,),
    "reset_options": (dict,),
    "sha256": (str,),
}
_DEFAULTS: dict[str, Any] = {
    "env_version": None,
    "env_kwargs": {},
    "backend": None,
    "fov": None,
    "seed": 0,
}
BOX_TYPES = (
    *("bool", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"),
)


def checked(meta: Mapping[str, Any]) -> dict[str, Any]:
    """meta.json with what it may leave out filled in.

    That is env_id (the family's name), env_version, env_kwargs, backend, fov and seed; ``size`` is left out where it is
    not told, for the pictures tell it.

    Raises:
        ValueError: something is missing, of another type, or too large; the message says what.
    """
    version = _described(meta, "format")
    if version != FORMAT:
        raise ValueError(
            f"has episode format {_brief(version)}, this program reads format {FORMAT}; update it"
        )
    _whole(meta, "frames", 1, limits.FRAMES)
    check_spec(_described(meta, "action_spec"))
    found = {**_DEFAULTS, "env_id": meta["action_spec"]["family"], **meta}
    found.setdefault("family", meta["action_spec"]["family"])
    for name, kinds in _OTHERS.items():
        value = found.get(name)
        if value is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
            raise ValueError(f"says {name} {_brief(value)}, expected a {kinds[0].__name__}")
    if found["env_id"] is None:
        found["env_id"] = found["family"] or "unknown"
    if found["env_kwargs"] is None:
        found["env_kwargs"] = {}
    if found["fov"] is not None and not (math.isfinite(found["fov"]) and 0 < found["fov"] < 360):
        raise ValueError(f"says fov {_brief(found['fov'])}, expected degrees")
    if found["seed"] is not None:
        _whole(found, "seed", 0, limits.SEED)
    if "size" in meta:
        _whole(meta, "size", 1, limits.SIDE)
    return found


def check_spec(spec: Any) -> None:
    """Whether this describes an action language (:func:`envs.actions.spec`).

    Raises:
        ValueError: it does not.
    """
    if not isinstance(spec, dict) or not isinstance(spec.get("family"), str):
        raise ValueError("says no action_spec with a family and fields")
    fields = spec.get("fields")
    if not isinstance(fields, list) or not 1 <= len(fields) <= limits.FIELDS:
        raise ValueError(f"has an action_spec without fields, or of more than {limits.FIELDS}")
    names = [field.get("name") if isinstance(field, dict) else None for field in fields]
    if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise ValueError("has an action_spec whose fields lack a name of their own")
    if "" in names and len(names) > 1:
        raise ValueError("has an action_spec with a nameless field among others")
    for field in fields:
        _check_field(field)


def _check_field(field: Mapping[str, Any]) -> None:
    name = field["name"]
    if field.get("kind") == "discrete":
        _whole(field, "n", 1, limits.CHOICES)
        return
    if field.get("kind") != "box":
        raise ValueError(f"has an action field {name!r} of kind {_brief(field.get('kind'))}")
    shape, dtype = field.get("shape"), field.get("dtype")
    if not isinstance(shape, list) or len(shape) > 8 or dtype not in BOX_TYPES:
        raise ValueError(f"has an action field {name!r} of shape {_brief(shape)} and type {_brief(dtype)}")
    count = 1
    for side in shape:
        if not isinstance(side, int) or isinstance(side, bool) or not 1 <= side <= limits.NUMBERS:
            raise ValueError(f"has an action field {name!r} of shape {_brief(shape)}")
        count *= side
    if count > limits.NUMBERS:
        raise ValueError(f"has an action field {name!r} of {count} numbers, more than {limits.NUMBERS}")
    for bound in ("low", "high"):
        if bound not in field:
            continue
        try:
            fits = np.asarray(field[bound], np.dtype(dtype)).shape == tuple(shape)
        except (TypeError, ValueError, OverflowError, RecursionError):
            fits = False
        if not fits:
            raise ValueError(f"has an action field {name!r} whose {bound} does not fit its shape and type")


def _described(meta: Mapping[str, Any], key: str) -> Any:
    if key not in meta:
        raise ValueError(f"lacks {key!r}")
    return meta[key]


def _whole(fields: Mapping[str, Any], key: str, least: int, most: int) -> None:
    value = fields.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"says {key} {_brief(value)}, expected a whole number from {least} to {most}")


def _brief(value: Any) -> str:
    text = repr(value) if isinstance(value, str | int | float | None) else type(value).__name__
    return text[:60]
