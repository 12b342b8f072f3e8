"""Temporal degradation of curves that are known."""

import numpy as np
import pytest

from worldsim.metrics.degradation import (
    DegradationError,
    by_segment,
    maximum_decay,
    names,
    normalised,
    over_seeds,
)


def test_a_long_rollout_has_eight_segments() -> None:
    assert names(128) == ("0-16", "16-32", "32-48", "48-64", "64-80", "80-96", "96-112", "112-128")
    assert names(40) == ("0-16", "16-32")


def test_a_straight_fall_has_the_middle_of_each_segment() -> None:
    falls = 30 - np.arange(64) / 16  # 1 dB a segment
    assert by_segment([falls, falls + 1])[1] == pytest.approx(31 - np.arange(4) - 7.5 / 16)


def test_the_first_segment_is_a_hundred_percent() -> None:
    assert normalised([20.0, 15, 10]) == pytest.approx([100, 75, 50])
    assert normalised([[5.0, 10], [4, 6]]) == pytest.approx(np.array([[100, 200], [100, 150]]))
    with pytest.raises(DegradationError, match="above 0"):
        normalised([0.0, 1.0])


def test_the_maximum_decay_of_table_4_is_first_less_last() -> None:
    """The paper's row of budget 48 in DMLab."""
    assert maximum_decay([10.52, 8.00, 7.58, 6.76]) == pytest.approx(3.76)


def test_the_maximum_decay_is_the_deepest_fall_and_none_where_nothing_falls() -> None:
    assert maximum_decay([10.0, 7.0, 9.0]) == pytest.approx(3)
    assert maximum_decay([10.0, 11.0]) == 0


def test_a_row_has_mean_and_sample_deviation_over_seeds() -> None:
    row = over_seeds([[10.0, 5], [12, 5], [14, 8]])
    assert row.n == 3 and row.cells(1) == ["12.0 ± 2.0", "6.0 ± 1.7"]
    assert over_seeds([[10.0]]).cells() == ["10.00"]


def test_a_rollout_without_a_segment_is_refused() -> None:
    with pytest.raises(DegradationError, match="at least 16 frames"):
        by_segment(np.zeros(15))
