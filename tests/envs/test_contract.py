"""Every registered world keeps the contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import pytest

import envs  # noqa: F401
from tests.envs import contract

WORLDS = ["worldsim/Blocks-v0", "worldsim/LabMaze-v0", "worldsim/Luanti-v0"]


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("world", WORLDS)
def test_a_world_keeps_the_contract(
    world: str, check: Callable[[contract.Make], None], request: pytest.FixtureRequest
) -> None:
    lend = request.getfixturevalue("lend") if "Luanti" in world else lambda size: {}

    def make(size: int = 64, **kwargs: Any) -> gymnasium.Env[Any, Any]:
        return gymnasium.make(world, disable_env_checker=True, size=size, **lend(size), **kwargs)

    check(make)
