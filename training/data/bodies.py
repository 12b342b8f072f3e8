"""Who walks in the worlds of each family, and what they change there: what a dream of one is told of it."""

from __future__ import annotations

import math
from typing import Any

from worldsim.actions import ActionSpec
from worldsim.checkpoint import Loaded
from worldsim.models.world_model import WorldModel

BODIES = {"minecraft": [0.3, 0.45, -0.5, 0.2], "dmlab": [0.1, 0.3, -0.3, 0.4]}
"""Half a width, what is kept free ahead, and between which heights from the eye a body meets what it sees: above what
it steps over, below what it passes under (:class:`worldsim.config.DreamConfig`). Those with which dead reckoning from
distances that are read off pictures errs least on walks."""
KEYS = {"minecraft": ("attack", "use")}
"""Actions that dig and put down."""


def embody(loaded: Loaded[WorldModel]) -> None:
    """Tell a model what body walks in its world and which keys change it, where it does not say so and we know."""
    said, dream = loaded.description, loaded.model.config.dream
    dream.body = dream.body or list(BODIES.get(said.family, []))
    names = KEYS.get(said.family, ())
    if not dream.edits.keys and names:
        places = {name: place for name in names if (place := pressed(said.action_spec, name)) is not None}
        dream.edits.keys = list(places.values()) if len(places) == len(names) else []


def pressed(spec: ActionSpec, name: str) -> int | None:
    """Where a flat action says that a key is pressed; None where there is no such key."""
    place = 0
    for one in spec["fields"]:
        if one["name"] == name and one["kind"] == "discrete":
            return place + 1
        place += _size(one)
    return None


def _size(one: dict[str, Any]) -> int:
    return int(one["n"]) if one["kind"] == "discrete" else math.prod(one["shape"])
