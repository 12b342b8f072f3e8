"""Pictures of two sizes, mixed by a share of each place."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.frames import mixed

PALE, DARK = np.full((8, 8, 3), 200, np.uint8), np.full((8, 8, 3), 100, np.uint8)


def test_a_share_says_how_much_of_the_second_picture_is_shown_at_a_place() -> None:
    share = np.array([[0.0, 1.0], [0.25, 0.5]], np.float32)
    found = mixed(PALE, DARK, share)
    corners = [found[i, j].tolist() for i, j in ((0, 0), (0, 7), (7, 0), (7, 7))]
    assert corners == [[200] * 3, [100] * 3, [175] * 3, [150] * 3]
    assert np.array_equal(found[:4, :4], PALE[:4, :4]) and found.dtype == np.uint8


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_smaller_first_picture_is_enlarged(share: float) -> None:
    found = mixed(PALE[:4, :4], DARK, np.full((4, 4), share, np.float32))
    assert np.array_equal(found, DARK if share else PALE)


def test_halves_are_rounded_and_nothing_wraps_round() -> None:
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert mixed(black, white, np.full((1, 1), 1.0, np.float32)).min() == 255
    assert mixed(white, black, np.full((1, 1), 1.0, np.float32)).max() == 0
