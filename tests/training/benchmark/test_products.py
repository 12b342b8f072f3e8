"""Products way by way: each is there, where it can be, and has taken some time."""

from __future__ import annotations

import pytest

from training.benchmark.products import CONVOLUTIONS, LINEAR, run
from worldsim.engine.kernels.tiles import available


def test_every_way_that_is_here_is_timed() -> None:
    found = run(["layers=1", "repeats=1"])
    assert found["tiles"] == available()
    for part, sizes in (("products", LINEAR), ("convolutions", CONVOLUTIONS)):
        assert len(found[part]) == len(sizes)
        for ways in found[part].values():
            assert len(ways) == 2 + available()
            assert min(ways.values()) > 0


def test_layers_and_repeats_are_counted_from_one() -> None:
    with pytest.raises(ValueError, match="layers and repeats of at least 1"):
        run(["layers=0"])
