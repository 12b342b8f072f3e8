"""A small slice of the fuzzer (the whole: python -m tests.fuzz): what is damaged is refused, nothing else happens."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.helpers.fuzz import guard

guard.install()


@pytest.mark.parametrize(
    ("kind", "cases"), [("episodes", 16), ("partials", 24), ("sources", 12), ("checkpoints", 12)]
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_damaged_is_refused_and_a_good_neighbour_is_kept(
    tmp_path: Path, kind: str, cases: int
) -> None:
    one = importlib.import_module(f"tests.helpers.fuzz.{kind}").one
    watch, before = guard.Watch(), guard.peak()
    for case in range(cases):
        box = tmp_path / str(case)
        box.mkdir()
        one(case, 7, box, watch)
    assert watch.faults == [] and watch.refused and guard.peak() - before < guard.MEMORY
    assert {p.name for p in tmp_path.iterdir()} == {str(case) for case in range(cases)}
