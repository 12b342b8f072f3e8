"""What a server's sessions are made of: files of their own, and nothing left open by one that cannot be made."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.helpers.small_world import Drum
from worldsim.cli.browser import games
from worldsim.cli.options import parse
from worldsim.cli.run import Played
from worldsim.cli.sinks import Sinks
from worldsim.session.session import Session


def _played(world: Drum) -> Played:
    return Played(Session(world, {}), None, lambda: None, 3)


def test_sessions_that_begin_at_once_have_numbers_of_their_own(tmp_path: Path) -> None:
    options = parse(["--env", "minecraft", "--browser", "--report", str(tmp_path / "r.json")])
    both, numbers = threading.Barrier(2, timeout=30), list[int]()

    def make() -> Played:
        both.wait()  # a world takes seconds to be made: the other session begins meanwhile
        return _played(Drum())

    def sinks(number: int, rate: int) -> Sinks:
        numbers.append(number)
        return Sinks(options, {}, rate, number=number)

    game = games(options, make, sinks)
    with ThreadPoolExecutor(2) as pool:
        for begun in [pool.submit(game) for _ in range(2)]:
            begun.result()
    assert sorted(numbers) == [1, 2]
    assert {path.name for path in tmp_path.iterdir()} == {"r.json", "r-2.json"}


def test_a_world_whose_sinks_cannot_be_made_is_closed(tmp_path: Path) -> None:
    options = parse(["--env", "minecraft", "--browser", "--report", str(tmp_path / "r.json")])
    (tmp_path / "r.json").mkdir()
    world = Drum()
    with pytest.raises(OSError, match=r"r\.json"):
        games(options, lambda: _played(world), lambda number, rate: Sinks(options, {}, rate))()
    assert world.closed
