"""A dream is told whose body walks in it, and which of its keys dig and put down."""

from __future__ import annotations

import pytest
from gymnasium.spaces import flatten

from training.data.bodies import BODIES, embody, pressed
from worldsim import checkpoint
from worldsim.actions import space_from_spec


@pytest.mark.parametrize("name", ["blocks", "labmaze"])
def test_what_ships_says_what_this_table_says(name: str) -> None:
    loaded = checkpoint.load(name)
    dream, family = loaded.model.config.dream, loaded.description.family
    shipped = list(dream.body), list(dream.edits.keys)
    dream.body, dream.edits.keys = [], []
    embody(loaded)
    assert (dream.body, dream.edits.keys) == shipped and shipped[0] == BODIES[family]


def test_a_key_is_found_in_a_flat_action() -> None:
    spec = checkpoint.load("blocks").description.action_spec
    space = space_from_spec(spec)
    nothing = {k: 0 * v for k, v in space.sample().items()}
    for key in ("attack", "use", "jump"):
        place = pressed(spec, key)
        assert place is not None
        assert flatten(space, nothing)[place] == 0 and flatten(space, nothing | {key: 1})[place] == 1
    assert pressed(spec, "camera") is None and pressed(spec, "fly") is None
