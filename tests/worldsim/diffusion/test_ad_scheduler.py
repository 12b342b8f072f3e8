"""The AD scheduler: its levels for every timestep difference, its calls, and what a call leaves alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from worldsim.diffusion.ad_scheduler import AdError, Plan, generate
from worldsim.diffusion.process import VariancePreserving
from worldsim.diffusion.samplers import NAMES, sampler_from

PROCESS = VariancePreserving("linear")


def _closed_form(frames: int, difference: int, steps: int) -> Tensor:
    """Eqn. 5 before every call and after the last, in parts of ``steps``: (calls + 1, frames)."""
    calls = torch.arange(steps + (frames - 1) * difference + 1)
    return (steps + difference * torch.arange(frames) - calls[:, None]).clamp(0, steps)


@pytest.mark.parametrize("steps", [1, 4])
def test_levels_run_from_all_noise_to_all_clean_and_never_fall_along_the_frames(steps: int) -> None:
    """For every s from 0 to T and every F up to 64, by Eqn. 5's closed form.

    Its rows and columns do not depend on F, so a shorter video's levels are a corner of the longest one's.
    """
    for difference in range(steps + 1):
        whole = _closed_form(64, difference, steps)
        assert (whole.diff(dim=1) >= 0).all()
        for frames in range(1, 65):
            plan = Plan(frames, difference, steps)
            found = plan.timesteps(steps)
            assert plan.calls == steps + (frames - 1) * difference
            assert torch.equal(found, whole[: plan.calls + 1, :frames])
            assert found[0, 0] == steps and found[-1, -1] == 0  # and so all of the row, which never falls


def test_levels_are_right_for_every_difference_of_the_papers_fifty_steps() -> None:
    for difference in range(51):
        whole = 20 * _closed_form(64, difference, 50)  # DDIM takes every twentieth timestep
        for frames in (2, 16, 64):
            plan = Plan(frames, difference, 50)
            assert torch.equal(plan.timesteps(1000), whole[: plan.calls + 1, :frames])
        levels = plan.levels()
        assert (levels[0] == 1).all() and (levels[-1] == 0).all() and (levels.diff(dim=1) >= 0).all()


def test_the_cost_is_linear_in_the_calls_as_in_the_papers_table_2() -> None:
    """Seconds of Table 2, 16 frames: base plus a constant a call; ours do fewer frames a call, never more calls."""
    seconds = {0: 2.4, 5: 5.2, 10: 7.9, 15: 10.8, 20: 13.6, 25: 16.4, 50: 30.5}
    calls = {s: Plan(16, s, 50).calls for s in seconds}
    assert calls == {0: 50, 5: 125, 10: 200, 15: 275, 20: 350, 25: 425, 50: 800}
    pace = (seconds[50] - seconds[0]) / (calls[50] - calls[0])
    for s, told in seconds.items():
        assert told == pytest.approx(seconds[0] + pace * (calls[s] - 50), abs=0.15)
    assert {s: Plan(128, s, 50).calls for s in (5, 10, 25)} == {5: 685, 10: 1320, 25: 3225}


@pytest.mark.parametrize(("frames", "difference", "given"), [(16, 0, 0), (16, 5, 3), (9, 50, 1), (7, 3.5, 2)])
def test_every_frame_is_worked_on_until_it_is_clean_and_given_frames_never(
    frames: int, difference: float, given: int
) -> None:
    plan = Plan(frames, difference, 50, given)
    working, moved = plan.working(), plan.levels().diff(dim=0) != 0
    assert len(working) == plan.calls
    for frames_of_call, row in zip(working, moved, strict=True):
        assert row.nonzero()[:, 0].tolist() == list(range(frames_of_call.start, frames_of_call.stop))
    assert not moved[:, :given].any()
    if difference == int(difference):
        assert (moved[:, given:].sum(0) == 50).all()


def test_an_autoregressive_plan_works_on_one_frame_at_a_time_and_a_synchronous_one_on_all() -> None:
    assert Plan(3, 2, 2, given=1).working() == [slice(i, i + 1) for i in (1, 1, 2, 2, 3, 3)]
    assert Plan(3, 0, 2, given=1).working() == [slice(1, 4)] * 2


def _smooth(z: Tensor, level: Tensor, frames: slice) -> Tensor:
    """A causal predictor: the running mean of the frames so far, weighed by how clean they are."""
    weight = (1.05 - level)[..., None]
    mean = (weight * z).cumsum(1) / weight.cumsum(1)
    return mean[:, frames]


def _noise(frames: int, given: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(0)
    return torch.randn(2, given + frames, 3, generator=g)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "dpm_solver_pp"])
@pytest.mark.parametrize("difference", [0, 2, 10])
def test_given_frames_stay_and_the_same_seed_gives_the_same_video(name: str, difference: int) -> None:
    plan, z = Plan(5, difference, 10, given=2), _noise(5, 2)
    videos = []
    for seed in (1, 1, 2):
        random = torch.Generator().manual_seed(seed)
        videos.append(generate(_smooth, plan, z, sampler_from(name, PROCESS), random))
    assert torch.equal(videos[0][:, :2], z[:, :2])
    assert torch.equal(videos[0], videos[1])
    assert torch.equal(videos[0], videos[2]) == (name == "ddim")


@pytest.mark.parametrize("difference", [0, 1, 5, 10])
def test_a_call_that_sees_only_what_it_works_on_and_what_lies_before_makes_the_same_video(
    difference: int,
) -> None:
    def masked(z: Tensor, level: Tensor, frames: slice) -> Tensor:
        z = torch.where(torch.arange(z.shape[1])[:, None] < frames.stop, z, torch.nan)
        return _smooth(z, level, frames)

    plan, z = Plan(6, difference, 10, given=1), _noise(6, 1)
    whole = generate(_smooth, plan, z, sampler_from("ddim", PROCESS))
    assert torch.equal(whole, generate(masked, plan, z, sampler_from("ddim", PROCESS)))


@pytest.mark.parametrize("difference", [0, 3, 10])
def test_a_longer_video_begins_with_the_shorter_one(difference: int) -> None:
    z = _noise(9)
    short = generate(_smooth, Plan(4, difference, 10), z[:, :4], sampler_from("ddim", PROCESS))
    long = generate(_smooth, Plan(9, difference, 10), z, sampler_from("ddim", PROCESS))
    torch.testing.assert_close(long[:, :4], short, atol=1e-6, rtol=1e-5)


def test_autoregressive_generation_is_continuing_frame_by_frame() -> None:
    z, steps = _noise(4, 1), 10
    at_once = generate(_smooth, Plan(4, steps, steps, given=1), z, sampler_from("ddim", PROCESS))
    grown = z[:, :1]
    for i in range(1, 5):
        plan = Plan(1, 0, steps, given=i)
        grown = generate(_smooth, plan, torch.cat([grown, z[:, i : i + 1]], 1), sampler_from("ddim", PROCESS))
    torch.testing.assert_close(grown, at_once, atol=1e-6, rtol=1e-5)


def test_who_knows_the_truth_generates_it() -> None:
    truth = _noise(4) * 0.5
    made = generate(
        lambda z, level, frames: truth[:, frames], Plan(4, 2, 8), _noise(4), sampler_from("ddim", PROCESS)
    )
    torch.testing.assert_close(made, truth, atol=1e-5, rtol=1e-5)


def test_progress_sees_every_call() -> None:
    seen: list[slice] = []

    def tell(calls: list[slice]) -> list[slice]:
        seen.extend(calls)
        return calls

    plan = Plan(3, 1, 4)
    generate(_smooth, plan, _noise(3), sampler_from("ddim", PROCESS), progress=tell)  # type: ignore[arg-type]
    assert seen == plan.working()


def test_what_makes_no_plan_is_refused_in_a_sentence() -> None:
    with pytest.raises(AdError, match=r"difference: expected 0 .* to 50 .*, found 51"):
        Plan(4, 51)
    with pytest.raises(AdError, match="at least 1 frame, 1 step and 0 given frames, found 0, 50 and 0"):
        Plan(0, 0)
    with pytest.raises(AdError, match=r"expected latents \(B, 5, ...\), found \(2, 4, 3\)"):
        generate(_smooth, Plan(4, 0, given=1), _noise(4), sampler_from("ddim", PROCESS))
