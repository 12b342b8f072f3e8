"""Precision and recall by nearest neighbours, on points placed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.metrics import precision_recall as module
from worldsim.metrics.precision_recall import PrecisionRecallError, precision_recall

LINE = np.array([[0.0], [1], [2], [3]])  # with k=1 every ball has the radius 1


def test_precision_is_the_share_of_dreamt_samples_within_the_true_ones_balls() -> None:
    dreamt = np.array([[-1.0], [-1.1], [1.5], [4], [9]])  # on the edge, outside, inside, on the edge, far off
    assert precision_recall(LINE, dreamt, k=1)[0] == pytest.approx(3 / 5)


def test_recall_is_the_share_of_true_samples_within_the_dreamt_ones_balls() -> None:
    dreamt = np.array([[0.0], [0.5], [0.6]])  # radii 0.5, 0.1, 0.1: of the line, 0 alone lies within one
    assert precision_recall(LINE, dreamt, k=1) == (1.0, 0.25)


def test_swapping_the_sets_swaps_the_numbers() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(300, 5)), rng.normal(0.7, 0.8, size=(280, 5))
    precision, recall = precision_recall(a, b)
    assert precision_recall(b, a) == (recall, precision)
    assert 0 < recall < precision <= 1


def test_k_is_which_neighbour_a_ball_reaches_to() -> None:
    true = np.array([[0.0], [1], [10], [13]])
    dreamt = np.array([[3.0], [5], [60], [70]])
    # radii of the true ones: 1, 1, 3, 3 with k=1; 10, 9, 9, 12 with k=2; 13, 12, 10, 13 with k=3
    assert [precision_recall(true, dreamt, k)[0] for k in (1, 2, 3)] == [0.0, 0.5, 0.5]
    assert (
        precision_recall(true, dreamt + 7, 1)[0] == 0.5
    )  # 10 and 12 are 0 and 1 from a true one, 67 and 77 far off


def test_a_set_is_wholly_within_itself_and_a_few_copies_of_it_recall_little() -> None:
    rng = np.random.default_rng(0)
    world = rng.normal(size=(200, 8))
    assert precision_recall(world, world) == (1.0, 1.0)
    collapsed = world[:5].repeat(20, 0) + rng.normal(size=(100, 8)) * 1e-3
    precision, recall = precision_recall(world, collapsed)
    assert precision == 1.0 and recall == pytest.approx(5 / 200, abs=0.01)


def test_copies_lie_in_each_others_balls_far_from_the_origin() -> None:
    """Where every ball is a point (copies), rounding must not push the point out of it."""
    points = np.random.default_rng(0).normal(size=(6, 64)) + 1000
    copies = points.repeat(4, 0)
    assert precision_recall(copies, copies[::-1]) == (1.0, 1.0)
    assert precision_recall(copies, copies + 0.01) == (0.0, 0.0)


def test_chunks_do_not_change_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(70, 4)), rng.normal(0.5, 1, size=(65, 4))
    whole = precision_recall(a, b)
    monkeypatch.setattr(module, "CHUNK", 7)
    assert precision_recall(a, b) == whole


@pytest.mark.parametrize(
    ("true", "dreamt", "k", "message"),
    [
        (np.zeros((3, 2)), np.zeros((9, 2)), 3, "more than k samples of each, found k=3, 3 and 9"),
        (np.zeros((9, 2)), np.zeros((9, 2)), 0, "at least 1"),
        (np.zeros((9, 2)), np.zeros((9, 3)), 3, "of one D"),
        (np.zeros(9), np.zeros(9), 3, "of one D"),
        (np.full((9, 2), np.nan), np.zeros((9, 2)), 3, "NaN"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(
    true: np.ndarray, dreamt: np.ndarray, k: int, message: str
) -> None:
    with pytest.raises(PrecisionRecallError, match=message):
        precision_recall(true, dreamt, k)
