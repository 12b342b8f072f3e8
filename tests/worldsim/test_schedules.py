"""Requirement 1 holds for every schedule we build, and each of its conditions can be broken."""

import pytest

from worldsim import requirements, schedules
from worldsim.references import anchors_and_last, last, strided
from worldsim.requirements import ScheduleError
from worldsim.schedules import Schedule


@pytest.mark.parametrize("window", range(1, 33))
def test_requirement_1_holds_for_every_window(window: int) -> None:
    for schedule in (schedules.fifo(window), schedules.outpainting(window)):
        levels = schedules.path(schedule, 5)
        assert levels.shape == (6, window)
        assert levels[0].tolist() == pytest.approx(schedule.levels_in)
        assert levels[-1].tolist() == pytest.approx(schedule.levels_out, abs=1e-6)
        assert (levels[1:] < levels[:-1]).all()


def test_special_cases_coincide() -> None:
    assert schedules.fifo(1) == schedules.outpainting(1) == schedules.next_frame()


@pytest.mark.parametrize(
    ("name", "levels_in", "levels_out"),
    [
        ("monotonicity", (1.0, 0.5, 1.0), (0.0, 0.1, 0.5)),
        ("boundary", (0.3, 0.6, 0.9), (0.0, 0.3, 0.6)),
        ("circularity", (0.2, 0.6, 1.0), (0.0, 0.4, 0.8)),
        ("constant pace", (0.1, 0.6, 1.0), (0.0, 0.1, 0.6)),
    ],
)
def test_a_broken_condition_is_named(
    name: str, levels_in: tuple[float, ...], levels_out: tuple[float, ...]
) -> None:
    with pytest.raises(ScheduleError, match=name):
        Schedule(3, 1, levels_in, levels_out)


def test_a_window_smaller_than_the_stride_is_refused() -> None:
    with pytest.raises(ScheduleError, match="stride"):
        Schedule(1, 2, (1.0,), (0.0,))


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
