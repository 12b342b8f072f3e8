"""Running games of Luanti to be lent to tests, where the engine is installed and the machine has time for it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from envs.adapters.engine_missing import EngineMissing
from envs.luanti import saved_map
from envs.luanti.engine import binary
from envs.luanti.game import Game

BUSY = 2.0  # processes a core that wait for it: with more, one frame takes seconds
FORCE = "WORLDSIM_TEST_LUANTI"  # set it to test on a busy machine all the same


@pytest.fixture(scope="session")
def luanti(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Luanti is here, and has a small saved map in a cache of the tests' own."""
    try:
        binary()
    except EngineMissing as error:
        pytest.skip(str(error))
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    if load > BUSY and not os.environ.get(FORCE):
        pytest.skip(
            f"this machine is too busy for a game ({load:.1f} waiting a core); {FORCE}=1 plays all the same"
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saved_map, "PLACES", 2)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def lend(luanti: None) -> Iterator[Callable[[int], dict[str, Any]]]:
    """Gives each of two running games of a size in turn, started when first asked for."""
    games: dict[int, list[Game]] = {}
    turn = itertools.count()

    def one(size: int) -> dict[str, Any]:
        if size < 16:  # refused before any game is looked at
            return {}
        index, kept = next(turn) % 2, games.setdefault(size, [])
        while len(kept) <= index:
            kept.append(Game(size, saved_map.load(42).file))
        return {"game": kept[index]}

    yield one
    for game in itertools.chain(*games.values()):
        game.close()
