"""Requirement 1 holds for every schedule we build, and each of its conditions can be broken."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim.diffusion import requirements, schedules
from worldsim.diffusion.references import (
    POLICIES,
    ReferencePolicy,
    ReferencesError,
    anchors_and_last,
    last,
    strided,
)
from worldsim.diffusion.requirements import ScheduleError, require_causal
from worldsim.diffusion.schedules import SPACINGS, Schedule, asynchronous, path, rolling


@pytest.mark.parametrize("window", range(1, 33))
def test_requirement_1_holds_for_every_window(window: int) -> None:
    for schedule in (schedules.fifo(window), schedules.outpainting(window)):
        levels = schedules.path(schedule, 5)
        assert levels.shape == (6, window)
        assert levels[0].tolist() == pytest.approx(schedule.levels_in)
        assert levels[-1].tolist() == pytest.approx(schedule.levels_out, abs=1e-6)
        assert (levels[1:] < levels[:-1]).all()


@pytest.mark.parametrize("window", range(1, 33))
def test_requirement_1_holds_for_every_stride_and_constant_pace_is_relaxed_by_name(window: int) -> None:
    for stride in range(1, window + 1):
        schedule = rolling(window, stride)
        assert schedule.relaxed == (None if window % stride == 0 else "constant pace")


def test_special_cases_coincide() -> None:
    assert schedules.fifo(1) == schedules.outpainting(1) == schedules.next_frame()
    for window in range(1, 33):
        assert rolling(window, 1) == schedules.fifo(window)
        assert rolling(window, window) == schedules.outpainting(window)


def test_fifo_has_the_levels_of_a_scheduler() -> None:
    assert schedules.fifo(4).levels_in == (0.25, 0.5, 0.75, 1.0)
    assert schedules.fifo(4).levels_out == (0.0, 0.25, 0.5, 0.75)
    assert rolling(4, 1, spacing="a1").levels_in == (0.0625, 0.25, 0.5625, 1.0)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(("window", "stride"), [(1, 1), (4, 4), (6, 2), (5, 3), (16, 1)])
def test_every_spacing_keeps_requirement_1_and_ends_exactly(spacing: str, window: int, stride: int) -> None:
    schedule = rolling(window, stride, spacing=spacing)
    levels = path(schedule, 7)
    assert levels[0].tolist() == pytest.approx(schedule.levels_in)
    assert levels[-1].tolist() == pytest.approx(schedule.levels_out, abs=1e-6)
    assert (levels[1:] < levels[:-1]).all()
    assert (levels.diff(dim=1) >= -1e-6).all()


def test_the_timestep_sets_are_those_of_the_paper() -> None:
    uniform = torch.linspace(1, 0, 9)
    for name, order in (("a", 2), ("b", 3)):
        near_clean = path(rolling(1, 1, spacing=f"{name}1"), 8)[:, 0]
        near_noise = path(rolling(1, 1, spacing=f"{name}2"), 8)[:, 0]
        torch.testing.assert_close(near_clean, uniform**order, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(near_noise, 1 - near_clean.flip(0), atol=1e-6, rtol=1e-5)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 24), st.integers(1, 20), st.floats(0, 1, allow_subnormal=False))
def test_asynchronous_levels_run_from_noise_to_clean_and_never_fall_along_the_window(
    window: int, steps: int, lag: float
) -> None:
    levels = path(asynchronous(window, lag), steps)
    assert (levels[0] == 1).all() and (levels[-1] == 0).all()
    assert (levels.diff(dim=0) <= 0).all()
    assert (levels.diff(dim=1) >= -1e-6).all()
    assert (levels.diff(dim=0) < 0).any(dim=1).all()  # no call is wasted


def test_asynchronous_without_lag_is_synchronous() -> None:
    assert asynchronous(8, 0.0) == schedules.outpainting(8)
    assert torch.equal(path(asynchronous(8, 0.0), 5), path(schedules.outpainting(8), 5))


def test_asynchronous_with_full_lag_is_autoregressive() -> None:
    window, steps = 5, 4
    levels = path(asynchronous(window, 1.0), steps)
    assert len(levels) == window * steps + 1
    alone = path(schedules.next_frame(), steps)[:, 0]
    for frame in range(window):
        during = slice(frame * steps, (frame + 1) * steps + 1)
        torch.testing.assert_close(levels[during, frame], alone, atol=1e-6, rtol=0)
        assert (levels[during, :frame] == 0).all() and (levels[during, frame + 1 :] == 1).all()


@pytest.mark.parametrize("difference", [0, 1, 3, 7, 19])  # 20, all of T, is the autoregressive one above
def test_asynchronous_levels_satisfy_the_ad_schedulers_equation(difference: int) -> None:
    steps, window = 20, 6
    chain = (path(asynchronous(window, difference / steps), steps) * steps).round().int().tolist()
    for before, now in itertools.pairwise(chain):
        for i in range(window):
            follows = i > 0 and now[i - 1] > 0
            expected = min(now[i - 1] + difference, steps) if follows else max(before[i] - 1, 0)
            assert now[i] == expected
    assert schedules.calls(asynchronous(window, difference / steps), steps) == len(chain) - 1
    assert len(chain) - 1 == steps + (window - 1) * difference


@pytest.mark.parametrize(
    ("name", "levels_in", "levels_out"),
    [
        ("monotonicity", (1.0, 0.5, 1.0), (0.0, 0.1, 0.5)),
        ("0-T boundary", (0.3, 0.6, 0.9), (0.0, 0.3, 0.6)),
        ("circularity", (0.2, 0.6, 1.0), (0.0, 0.4, 0.8)),
        ("constant pace", (0.1, 0.6, 1.0), (0.0, 0.1, 0.6)),
    ],
)
def test_a_broken_condition_is_named(
    name: str, levels_in: tuple[float, ...], levels_out: tuple[float, ...]
) -> None:
    with pytest.raises(ScheduleError, match=name):
        Schedule(3, 1, levels_in, levels_out)


def test_a_method_that_relaxes_constant_pace_must_say_at_which_paces_its_frames_move() -> None:
    levels = ((0.1, 0.6, 1.0), (0.0, 0.1, 0.6))
    assert Schedule(3, 1, *levels, paces=(1.0, 5.0, 4.0)).relaxed == "constant pace"
    with pytest.raises(ScheduleError, match="declared pace"):
        Schedule(3, 1, *levels, paces=(1.0, 5.0, 5.0))
    with pytest.raises(ScheduleError, match="positive pace"):
        Schedule(3, 1, *levels, paces=(1.0, 5.0))


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ScheduleError, match="stride"):
        Schedule(1, 2, (1.0,), (0.0,))
    with pytest.raises(ScheduleError, match="stride"):
        rolling(4, 0)
    with pytest.raises(ScheduleError, match="lag"):
        asynchronous(4, 1.5)
    with pytest.raises(ScheduleError, match="spacing"):
        rolling(4, 4, spacing="c1")
    with pytest.raises(ValueError, match="at least 1"):
        path(schedules.next_frame(), 0)


@pytest.mark.parametrize("i", [0, 1, 2, 7, 40])
def test_references_are_causal(i: int) -> None:
    for chosen in (last(i, 16), anchors_and_last(i, 2, 8), strided(i, 16, 2)):
        assert requirements.causality(i, chosen)
        assert chosen == sorted(set(chosen))
    assert not requirements.causality(i, [i])


def test_references_choose_what_their_names_say() -> None:
    assert last(5, 3) == [2, 3, 4]
    assert anchors_and_last(20, 1, 2) == [0, 18, 19]
    assert strided(10, 3, 2) == [5, 7, 9]


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_never_chooses_more_than_it_says(name: str) -> None:
    policy = ReferencePolicy(name, count=6, anchors=2, every=3)
    require_causal(policy, range(60))
    assert max(len(policy(i)) for i in range(60)) == policy.most


def test_a_policy_that_sees_the_future_or_does_not_exist_is_refused() -> None:
    with pytest.raises(ScheduleError, match="causality"):
        require_causal(lambda i: [i + 1], range(3))
    with pytest.raises(ReferencesError, match="did you mean 'last'"):
        ReferencePolicy("lats").check()
    with pytest.raises(ReferencesError, match="level"):
        ReferencePolicy(level=1.0).check()
