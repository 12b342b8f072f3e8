"""Bootstrap intervals over groups."""

import pytest

from worldsim.metrics.bootstrap import interval


def test_an_interval_holds_the_mean_and_narrows_with_agreement() -> None:
    apart = interval([[0.0, 0.2], [0.8, 1.0], [0.4, 0.6]])
    close = interval([[0.49, 0.51], [0.5, 0.5], [0.48, 0.52]])
    assert apart["low"] < apart["mean"] == 0.5 < apart["high"]
    assert close["high"] - close["low"] < apart["high"] - apart["low"]
    assert (apart["n"], apart["episodes"]) == (6, 3)


def test_values_of_one_group_are_no_independent_trials() -> None:
    """A hundred equal frames in each of four episodes say as much as one frame of each."""
    assert (
        interval([[v] * 100 for v in (0.0, 1.0, 1.0, 0.0)])["low"]
        == interval([[0.0], [1.0], [1.0], [0.0]])["low"]
    )


def test_groups_weigh_by_their_values_and_empty_ones_not_at_all() -> None:
    assert interval([[1.0, 1.0, 1.0], [0.0], []])["mean"] == pytest.approx(0.75)
    assert interval([[], []]) == {"mean": None, "low": None, "high": None, "n": 0, "episodes": 0}
