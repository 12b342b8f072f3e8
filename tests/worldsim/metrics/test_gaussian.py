"""On a world whose score is known, errors fall with steps and horizon as Theorem 1 says, and add up as Eqn. 7 says."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from worldsim.diffusion.process import VariancePreserving
from worldsim.diffusion.samplers import sampler_from
from worldsim.metrics.theory.error_budget import TheoryError
from worldsim.metrics.theory.gaussian import (
    SamplerError,
    _sampled,
    autoregressive_error,
    even_times,
    sampler_error,
    slope,
)
from worldsim.metrics.theory.timestep_sets import timestep_set

MEAN = np.ones(3)
COVARIANCE = 0.5 * 0.6 ** np.abs(np.subtract.outer(np.arange(3), np.arange(3)))  # three frames, alike in time


def with_steps(steps: int, horizon: float = 8.0) -> SamplerError:
    return sampler_error(MEAN, COVARIANCE, even_times(horizon, steps))


def test_discretisation_falls_like_one_over_the_steps() -> None:
    steps = [256, 512, 1024]
    errors = [with_steps(m) for m in steps]
    assert slope(np.log(steps), np.log([e.discretisation for e in errors])) == pytest.approx(-1, abs=0.05)
    # the clean frames alone come out better still: the error of their law is quadratic in that of mean and variance
    long = [sampler_error(MEAN, COVARIANCE, even_times(24, 3 * m)).sample for m in steps]
    assert slope(np.log(steps), np.log(long)) == pytest.approx(-2, abs=0.1)


def test_noise_initialisation_falls_like_the_exponential_of_the_horizon() -> None:
    horizons = [4, 6, 8, 10]
    starts = [with_steps(8, t).start for t in horizons]
    assert slope(horizons, np.log(starts)) == pytest.approx(-1, abs=0.02)
    bound = len(MEAN) + np.trace(COVARIANCE) + MEAN @ MEAN  # d + E|X|^2, Lemma 9
    assert all(start <= bound * math.exp(-t) for start, t in zip(starts, horizons, strict=True))


@pytest.mark.parametrize("steps", [16, 64, 256])
@pytest.mark.parametrize("horizon", [1.0, 4.0, 8.0])
def test_clean_frames_are_never_worse_than_the_path_that_led_to_them(steps: int, horizon: float) -> None:
    error = with_steps(steps, horizon)
    assert 0 <= error.sample <= error.path
    assert error.path == pytest.approx(error.start + sum(error.steps))


def test_data_that_are_noise_already_cost_no_start() -> None:
    assert sampler_error(np.zeros(2), np.eye(2), even_times(1.0, 4)).start == pytest.approx(0)


def test_steps_near_clean_help_where_the_score_is_sharp_there() -> None:
    """With an exact score (*,1) beats (*,2), more so for (b), as the paper measures: by the discretisation error."""

    def error(name: str) -> SamplerError:
        return sampler_error([1.0], [[0.05]], timestep_set(name, 50) / 999 * 8)

    for kind in "ab":
        near_clean, near_noise = error(f"{kind},1"), error(f"{kind},2")
        assert near_clean.discretisation < near_noise.discretisation
        assert near_clean.sample < near_noise.sample
    assert error("b,2").sample > error("a,2").sample


def test_what_no_reference_brings_is_forgotten_bit_for_bit() -> None:
    """Eqn. 7 as an equality: without references a video's error is its frames' errors plus what each step forgot."""
    times, rho, frames = even_times(8, 100), 0.9, 5
    forgotten = -0.5 * math.log(1 - rho**2)
    video, last = autoregressive_error(rho, frames, times, references=False)
    # KL(X_k | X_<k || Y_k) = KL(X_k || Y_k) + I(X_k; X_<k)
    assert video == pytest.approx(frames * last + (frames - 1) * forgotten)


def test_with_references_errors_add_up_step_by_step() -> None:
    times = even_times(8, 100)
    videos = [autoregressive_error(0.9, k, times, references=True)[0] for k in (1, 2, 3, 4, 10)]
    grown = np.diff(videos[:4])
    assert grown == pytest.approx([grown[0]] * 3)
    assert videos[4] == pytest.approx(videos[0] + 9 * grown[0])
    clips = [autoregressive_error(0.9, k, times, references=True)[1] for k in (1, 2, 4, 8)]
    assert clips == sorted(clips)  # temporal degradation
    assert clips[-1] <= videos[0] + 7 * grown[0]  # Eqn. 10


def test_references_trade_forgetting_for_degradation() -> None:
    times = even_times(8, 100)
    seen, blind = (autoregressive_error(0.9, 10, times, references=r) for r in (True, False))
    assert seen[0] < blind[0] and seen[1] > blind[1]


def test_the_closed_form_is_the_sampler_of_the_house() -> None:
    """Euler-Maruyama as it runs, asked for its affine map by three probes, makes the law that is computed here."""
    horizon, mean, variance = 6.0, 0.7, 0.3
    times = even_times(horizon, 24)
    process = VariancePreserving("constant", horizon=horizon)
    sampler = sampler_from("euler_maruyama", process)
    made_mean, made_variance = 0.0, 1.0
    levels = torch.tensor(times[::-1].copy() / horizon, dtype=torch.float64)
    for now, then in pairwise(levels):
        alpha, sigma = process.alpha(now), process.sigma(now)
        z = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64).reshape(3, 1, 1, 1, 1)
        noise = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).reshape(3, 1, 1, 1, 1)
        x0 = mean + variance * alpha / (alpha**2 * variance + sigma**2) * (z - alpha * mean)  # E[X_0 | X_t]
        out = sampler.step(z, x0, now.expand(3, 1), then.expand(3, 1), noise).ravel()
        offset, gain, spread = out[0], out[1] - out[0], out[2] - out[0]
        made_mean = float(gain * made_mean + offset)
        made_variance = float(gain**2 * made_variance + spread**2)
    expected = _sampled(np.array([mean]), np.array([variance]), times)
    assert (made_mean, made_variance) == pytest.approx([float(x[0]) for x in expected], rel=1e-6)


def test_what_is_no_partition_or_no_covariance_is_refused() -> None:
    for times in ([0.0], [0.0, 2.0, 1.0], [0.5, 1.0]):
        with pytest.raises(TheoryError, match="expected times"):
            sampler_error([0.0], [[1.0]], times)
    with pytest.raises(TheoryError, match="positive definite"):
        sampler_error([0.0, 0.0], [[1.0, 1.0], [1.0, 1.0]], [0.0, 1.0])
