"""A state that somebody changed is refused, or harmless: never an error of the engine's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.small_model import small_loaded
from worldsim.dream.env import Dream
from worldsim.dream.world import WorldPredictor
from worldsim.session.snapshot import Snapshot, SnapshotError


@pytest.mark.parametrize(("engine", "pixels"), [("cpu", True), ("cpu", False), ("eager", True)])
def test_an_array_of_another_shape_or_type_is_refused(tmp_path: Path, engine: str, pixels: bool) -> None:
    dream = Dream(WorldPredictor(small_loaded(tmp_path, pixels), engine=engine))
    dream.reset(seed=1)
    action = np.zeros(20, np.float32)
    for _ in range(12):
        dream.step(action)
    kept = dream.save()
    refused = 0
    for name, array in kept.arrays.items():
        for changed in (array[..., :-1], array.astype(np.float64), array[None]):
            try:
                dream.load(Snapshot(kept.tree, {**kept.arrays, name: changed}))
            except SnapshotError as error:
                assert "state" in str(error)
                refused += 1
            else:  # for instance what float64 says as well
                dream.step(action)
    assert refused > 2 * len(kept.arrays)
    dream.load(kept)
    dream.step(action)


def test_a_missing_array_or_a_tree_of_something_else_is_refused(tmp_path: Path) -> None:
    dream = Dream(WorldPredictor(small_loaded(tmp_path)))
    dream.reset(seed=1)
    kept = dream.save()
    for name in kept.arrays:
        with pytest.raises(SnapshotError):
            dream.load(Snapshot(kept.tree, {k: a for k, a in kept.arrays.items() if k != name}))
    for state in ({}, {"value": {"kind": "os.system", "fields": {}}}, {"value": [1]}, {"value": None}):
        with pytest.raises(SnapshotError):
            dream.load(
                Snapshot(
                    {**kept.tree, "state": {"engine": kept.tree["state"]["engine"], **state}}, kept.arrays
                )
            )
