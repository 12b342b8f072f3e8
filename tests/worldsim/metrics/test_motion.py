"""Flicker and smoothness of clips whose answers are known."""

import numpy as np
import pytest

from worldsim.metrics.motion import MotionError, blend, motion_smoothness, temporal_flickering


def _clip(*values: float) -> np.ndarray:
    return np.stack([np.full((4, 4, 3), v, np.uint8) for v in values])


def test_a_still_picture_neither_flickers_nor_jerks() -> None:
    assert temporal_flickering(_clip(7, 7, 7)) == motion_smoothness(_clip(7, 7, 7)) == 1


def test_black_and_white_in_turn_are_the_worst_of_both() -> None:
    assert temporal_flickering(_clip(0, 255, 0, 255, 0)) == motion_smoothness(_clip(0, 255, 0, 255, 0)) == 0


def test_flicker_is_the_mean_step_between_neighbours() -> None:
    assert temporal_flickering(_clip(10, 20, 50)) == pytest.approx(1 - (10 + 30) / 2 / 255)


def test_only_neighbours_at_rest_count_where_they_are_named() -> None:
    assert temporal_flickering(_clip(10, 20, 50), [True, False]) == pytest.approx(1 - 10 / 255)


def test_a_steady_ramp_is_smooth_though_it_flickers() -> None:
    ramp = _clip(0, 30, 60, 90, 120)
    assert motion_smoothness(ramp) == 1 and temporal_flickering(ramp) == pytest.approx(1 - 30 / 255)


def test_smoothness_is_the_error_of_every_second_frame() -> None:
    """Frame 1 is 20 off the middle of its neighbours, frame 3 is 10 off; the last has no right neighbour."""
    assert motion_smoothness(_clip(0, 30, 20, 50, 60, 255)) == pytest.approx(1 - (20 + 10) / 2 / 255)


def test_another_interpolation_can_be_given() -> None:
    assert motion_smoothness(_clip(0, 60, 60), lambda before, after: after) == 1
    assert motion_smoothness(_clip(0, 60, 60), blend) == pytest.approx(1 - 30 / 255)


def test_what_is_no_clip_is_refused() -> None:
    with pytest.raises(MotionError, match="at least 3 frames"):
        motion_smoothness(_clip(1, 2))
    with pytest.raises(MotionError, match="float"):
        temporal_flickering(_clip(1, 2).astype(float))
    with pytest.raises(MotionError, match="at rest"):
        temporal_flickering(_clip(1, 2), [False])
