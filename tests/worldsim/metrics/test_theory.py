"""The error budget is Theorem 1's arithmetic, and the order of the timestep sets follows from a loss curve alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from worldsim.diffusion import schedules
from worldsim.metrics.theory.error_budget import (
    Constants,
    ErrorTerms,
    LossCurve,
    TheoryError,
    error_budget,
    score_loss,
)
from worldsim.metrics.theory.timestep_sets import NAMES, predict, score_estimation, timestep_set

D, T, B, L, EPS = 48, 6.0, 5.0, 2.0, 0.3
CONSTANTS = Constants(D, T, B, L, EPS)
EVEN = np.linspace(1, 0, 5)
FALLING = LossCurve((0.0, 0.05, 0.2, 1.0), (10.0, 3.0, 1.0, 0.2))
RISING = LossCurve((0.0, 0.05, 0.2, 1.0), (0.2, 7.2, 9.2, 10.0))


def fifo_budget(window: int = 4, steps: int = 2, **given: LossCurve) -> tuple[ErrorTerms, ErrorTerms]:
    levels = schedules.path(schedules.fifo(window), steps)
    budget = error_budget(window, 1, 6, EVEN, levels, CONSTANTS, **given)
    return budget.initial, budget.step


def test_the_budget_is_the_theorem_as_printed() -> None:
    initial, step = fifo_budget(window=4, steps=2)
    assert initial.nie == pytest.approx((D * 6 + B**2) * math.exp(-T))
    assert initial.see == pytest.approx(T * EPS**2)
    assert initial.de == pytest.approx(4 * D * L**2 * 4 * (T / 4) ** 2)
    assert step.nie == pytest.approx((D * 1 + B**2) * math.exp(-T))
    assert step.see == pytest.approx(T / 4 * EPS**2)  # t_1^I - t_1^O = T / w
    assert step.de == pytest.approx(4 * D * L**2 * 2 * (T / 8) ** 2)


def test_a_clip_pays_for_every_step_before_it_and_a_video_for_what_it_forgets() -> None:
    budget = error_budget(4, 1, 6, EVEN, schedules.path(schedules.fifo(4), 2), CONSTANTS)
    assert budget.clip(0) == budget.initial
    assert budget.clip(7).total == pytest.approx(budget.initial.total + 7 * budget.step.total)
    assert budget.video([0.5, 0.25]) == pytest.approx(budget.clip(2).total + 0.75)


def test_true_context_costs_nothing() -> None:
    levels = schedules.path(schedules.outpainting(4), 2)
    assert error_budget(4, 4, 0, [], levels, CONSTANTS).initial == ErrorTerms()


def test_a_flat_loss_curve_says_what_eps_est_says() -> None:
    flat = LossCurve((0.5,), (EPS**2 / 4,))  # a frame's share of a window of 4
    for ours, printed in zip(fifo_budget(losses=flat), fifo_budget(), strict=True):
        frames = 6 / 4 if ours.nie == fifo_budget()[0].nie else 1  # six frames are made at first
        assert ours.see == pytest.approx(printed.see * frames)


def test_the_loss_is_read_where_the_network_is_called() -> None:
    spike = LossCurve((0.0, 0.99, 1.0), (0.0, 0.0, 1.0))
    levels = schedules.path(schedules.fifo(4), 1)  # one call, at 0.25, 0.5, 0.75 and 1
    assert error_budget(4, 1, 0, [], levels, CONSTANTS, spike).step.see == pytest.approx(T / 4)
    assert error_budget(4, 1, 0, [], levels[1:].repeat(2, 1), CONSTANTS, spike).step.see == 0


def test_every_frame_pays_for_its_own_pace() -> None:
    """One frame after another takes more calls, of which a frame pays for those in which it moves."""
    together = schedules.path(schedules.asynchronous(4, 0.0), 4)
    apart = schedules.path(schedules.asynchronous(4, 1.0), 4)
    a, b = (error_budget(4, 4, 0, [], x, CONSTANTS).step for x in (together, apart))
    assert len(apart) > len(together)
    assert (a.nie, a.see, a.de) == pytest.approx((b.nie, b.see, b.de))


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_more_steps_divide_the_discretisation_error_alone(steps: int) -> None:
    _, once = fifo_budget(steps=1)
    _, more = fifo_budget(steps=steps)
    assert more.de == pytest.approx(once.de / steps)
    assert (more.nie, more.see) == pytest.approx((once.nie, once.see))


def test_a_longer_horizon_trades_noise_initialisation_for_the_rest() -> None:
    levels = schedules.path(schedules.outpainting(4), 4)
    short, long = (error_budget(4, 4, 0, [], levels, Constants(D, h, B, L, EPS)).step for h in (4, 5))
    assert long.nie == pytest.approx(short.nie / math.e)
    assert long.see > short.see and long.de > short.de


def test_unit_variance_is_the_bound_where_none_is_given() -> None:
    levels = schedules.path(schedules.outpainting(4), 1)
    assert error_budget(4, 4, 0, [], levels, Constants(D, T)).step.nie == pytest.approx(8 * D * math.exp(-T))


def test_an_error_of_x0_weighs_more_the_cleaner_the_frame() -> None:
    sigma = np.array([0.1, 0.5, 1.0])
    alpha = np.sqrt(1 - sigma**2)
    z, x0, other = 0.7, 0.3, 0.1
    score = [(alpha * x - z) / sigma**2 for x in (x0, other)]
    np.testing.assert_allclose(score_loss((x0 - other) ** 2, alpha, sigma), (score[0] - score[1]) ** 2)
    with pytest.raises(TheoryError, match="level 0"):
        score_loss(1.0, 1.0, 0.0)


def test_what_no_budget_can_be_made_of_is_refused() -> None:
    levels = schedules.path(schedules.fifo(4), 2)
    wrong = [
        lambda: Constants(0),
        lambda: Constants(1, lipschitz=-1.0),
        lambda: LossCurve((0.5, 0.1), (1.0, 1.0)),
        lambda: LossCurve((0.1, 0.5), (1.0,)),
        lambda: LossCurve((0.1, 0.5), (1.0, math.nan)),
        lambda: error_budget(4, 5, 4, EVEN, levels, CONSTANTS),
        lambda: error_budget(5, 1, 4, EVEN, levels, CONSTANTS),
        lambda: error_budget(4, 1, 4, EVEN, levels.flip(0), CONSTANTS),
        lambda: error_budget(4, 1, 4, EVEN[:-1], levels, CONSTANTS),
        lambda: error_budget(4, 1, 4, EVEN, levels, CONSTANTS).clip(-1),
        lambda: timestep_set("c,1", 50),
        lambda: timestep_set("a,1", 1),
    ]
    for make in wrong:
        with pytest.raises(TheoryError, match="expected"):
            make()


def test_the_four_sets_are_the_papers() -> None:
    assert timestep_set("a,1", 4) == pytest.approx([999 / 9 * k**2 for k in range(4)])
    assert timestep_set("b,1", 4) == pytest.approx([999 / 27 * k**3 for k in range(4)])
    for kind in "ab":
        near_clean, near_noise = timestep_set(f"{kind},1", 50), timestep_set(f"{kind},2", 50)
        np.testing.assert_allclose(near_noise, 999 - near_clean[::-1])
        assert near_clean[1] < near_noise[1] and (np.diff(near_clean) > 0).all()


def test_a_set_and_its_mirror_differ_in_score_estimation_alone() -> None:
    found = predict(FALLING)
    assert found.squares["a,1"] == pytest.approx(found.squares["a,2"])
    assert found.squares["b,1"] == pytest.approx(found.squares["b,2"])
    assert found.squares["a,1"] < found.squares["b,1"]


def test_a_loss_that_is_level_tells_no_set_from_another() -> None:
    assert list(predict(LossCurve((0.5,), (2.0,))).see.values()) == pytest.approx([2 * 999.0] * 4)


def test_all_sets_near_one_integral_as_steps_grow() -> None:
    see = list(predict(FALLING, 5000).see.values())
    assert max(see) / min(see) < 1.01
    apart = list(predict(FALLING, 50).see.values())
    assert max(apart) / min(apart) > 1.05


@pytest.mark.parametrize(("count", "end"), [(20, "noisy"), (50, "noisy"), (20, "clean"), (50, "clean")])
def test_the_order_turns_with_the_end_at_which_the_loss_is_read(count: int, end: str) -> None:
    """Assumption 3 reads the noisier end: (*,2) first. The paper's figure, (*,1) first, is the cleaner end's order."""
    found = predict(FALLING, count, end=end)  # type: ignore[arg-type]
    gaps = {kind: found.see[f"{kind},1"] - found.see[f"{kind},2"] for kind in "ab"}
    assert all(gap > 0 if end == "noisy" else gap < 0 for gap in gaps.values())
    assert abs(gaps["b"]) > abs(gaps["a"])
    assert [found.see[name] for name in found.order] == sorted(found.see[name] for name in NAMES)
    assert (found.order[0] if end == "noisy" else found.order[-1]) == "b,2"


def test_a_rising_loss_turns_the_order_of_a_falling_one() -> None:
    """Most of the change is near clean in both curves: there the sets differ in width the most."""
    found = predict(RISING).see
    assert found["a,1"] < found["a,2"] and found["b,1"] < found["b,2"]


def test_score_estimation_is_widths_times_losses() -> None:
    line = LossCurve((0.0, 1.0), (0.0, 1.0))
    assert score_estimation([0, 1, 3], line, maximum=4) == pytest.approx(1 * 0.25 + 2 * 0.75)
    assert score_estimation([0, 1, 3], line, maximum=4, end="clean") == pytest.approx(2 * 0.25)
