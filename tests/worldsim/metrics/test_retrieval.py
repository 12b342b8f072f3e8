"""When a view counts as a revisit, and how its age is counted."""

import time

import numpy as np
import pytest

from worldsim.metrics.retrieval import RANGE_NAMES, Revisit, RevisitFinder, Tally, range_of


def _frame(value: int = 0) -> np.ndarray:
    return np.full((64, 64, 3), value % 256, np.uint8)


def _walk(yaws: list[float], xs: list[float] | None = None) -> list[Revisit | None]:
    finder = RevisitFinder()
    places = xs or [0.0] * len(yaws)
    poses = [np.array([x, 0, 0, yaw, 0.0]) for x, yaw in zip(places, yaws, strict=True)]
    return [finder.add(_frame(i), pose, i) for i, pose in enumerate(poses)]


def _ages(found: list[Revisit | None]) -> list[int | None]:
    return [None if r is None else r.age for r in found]


def test_a_view_that_returns_after_a_turn_away_has_the_age_since_it_was_last_seen() -> None:
    assert _ages(_walk([0, 15, 30, 45, 30, 15, 0])) == [None, None, None, None, None, 4, 6]


def test_the_thumbnail_is_the_frame_as_it_was_then() -> None:
    last = _walk([0, 15, 30, 45, 30, 15, 0])[-1]
    assert last is not None
    assert last.seen_index == 0
    assert np.array_equal(last.thumbnail, _frame(0))


def test_a_glance_of_less_than_25_degrees_is_no_departure() -> None:
    assert _ages(_walk([0, 10, 20, 10, 0])) == [None] * 5


def test_walking_off_by_more_than_a_unit_and_a_half_is_a_departure() -> None:
    assert _ages(_walk([0] * 7, [0, 1, 2, 3, 2, 1, 0])) == [None, None, None, None, None, 4, 6]
    assert _ages(_walk([0] * 3, [0, 1.4, 0])) == [None] * 3


def test_yaw_is_compared_around_the_circle() -> None:
    assert _ages(_walk([178, -150, -178])) == [None, None, 2]


def test_pitch_counts_as_yaw_does() -> None:
    finder = RevisitFinder()
    poses = [np.array([0, 0, 0, 0, pitch], float) for pitch in (0, 40, 0)]
    assert _ages([finder.add(_frame(), p, i) for i, p in enumerate(poses)]) == [None, None, 2]


def test_a_resting_camera_is_counted_once_on_arrival() -> None:
    assert _ages(_walk([0, 40, 0, 0, 0])) == [None, None, 2, None, None]


def test_the_age_counts_from_the_latest_of_several_earlier_visits() -> None:
    assert _ages(_walk([0, 90, 0, 90, 0]))[-1] == 2


def test_what_was_seen_more_than_112_frames_ago_is_forgotten_by_the_finder() -> None:
    def away(n: int) -> list[float]:
        return [0.0] + [90.0 + i / 10 for i in range(n)] + [0.0]

    assert _ages(_walk(away(111)))[-1] == 112
    assert _ages(_walk(away(112)))[-1] is None


def test_reset_forgets_everything() -> None:
    finder = RevisitFinder()
    pose = np.zeros(5)
    finder.add(_frame(), pose, 0)
    finder.add(_frame(), pose + np.array([9, 0, 0, 0, 0]), 1)
    finder.reset()
    assert finder.add(_frame(), pose, 0) is None


def test_the_ranges_are_half_open() -> None:
    assert [range_of(a) for a in (1, 16, 17)] == ["0-16", "0-16", "16-48"]
    assert [range_of(a) for a in (48, 49, 112)] == ["16-48", "48-112", "48-112"]
    with pytest.raises(ValueError, match="113"):
        range_of(113)


def test_without_a_pose_the_true_pictures_decide() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    finder = RevisitFinder()
    found = [finder.add(pictures[i], None, n) for n, i in enumerate((0, 1, 2, 0, 0))]
    assert _ages(found) == [None, None, None, 3, None]


def test_looking_back_costs_less_than_a_millisecond() -> None:
    finder, pictures = RevisitFinder(), RevisitFinder()
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (150, 64, 64, 3), np.uint8)

    def best(f: RevisitFinder, poses: list[np.ndarray | None]) -> float:
        times = []
        for i, (frame, pose) in enumerate(zip(frames, poses, strict=True)):
            began = time.perf_counter()
            f.add(frame, pose, i)
            times.append(time.perf_counter() - began)
        return min(times[112:])

    assert best(finder, list(rng.normal(size=(150, 5)))) < 1e-3
    assert best(pictures, [None] * 150) < 3e-3


def test_a_tally_names_every_range_and_its_count() -> None:
    tally = Tally()
    tally.add("16-48", 0.5)
    tally.add("16-48", 0.7)
    summary = tally.summary()
    assert tuple(summary) == RANGE_NAMES
    assert summary["16-48"] == {"ssim": pytest.approx(0.6), "n": 2}
    assert summary["0-16"] == {"ssim": None, "n": 0}


def test_a_tally_counts_verdicts_apart_from_pictures_and_only_where_there_are_any() -> None:
    tally = Tally()
    tally.add("0-16", 0.5)
    assert "srr" not in tally.summary()["0-16"]
    tally.add("16-48", 0.5, True)
    tally.add("16-48", 0.7, False)
    summary = tally.summary()
    assert summary["16-48"] == {"ssim": pytest.approx(0.6), "n": 2, "srr": 0.5, "trials": 2}
    assert summary["0-16"] == {"ssim": 0.5, "n": 1, "srr": None, "trials": 0}
