"""Samplers: one family of updates, and on toys with a known score an error that falls as Theorem 1 says.

The toys are exact: a sampler's step is affine in the latent and the noise where the posterior mean is, so its
coefficients are read off the step itself and moments are propagated, with no sampling.
"""

import itertools
import math
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from worldsim.diffusion import process as diffusion
from worldsim.diffusion.process import (
    PROCESSES,
    Process,
    RectifiedFlow,
    VariancePreserving,
    corrupt,
    process_from,
)
from worldsim.diffusion.samplers import (
    NAMES,
    Ddim,
    Ddpm,
    EulerMaruyama,
    Sampler,
    SamplerError,
    StraightFlow,
    sampler_from,
)
from worldsim.diffusion.schedules import next_frame, path

every_process = pytest.mark.parametrize("process", [process_from(name) for name in PROCESSES], ids=PROCESSES)


def _frames() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """z, x0, level, target, noise; the last frame stands still, as does the second row's first, which is clean."""
    g = torch.Generator().manual_seed(0)
    z, x0, noise = (torch.randn(2, 4, 3, 2, 2, generator=g) for _ in range(3))
    level = torch.tensor([[1.0, 0.7, 0.4, 0.5], [0.0, 0.9, 0.2, 1.0]])
    target = torch.tensor([[0.8, 0.1, 0.0, 0.5], [0.0, 0.5, 0.1, 1.0]])
    return z, x0, level, target, noise


def _available(name: str, process: Process) -> Sampler:
    if name == "dpm_solver_pp":
        pytest.importorskip("diffusers")
    if name == "euler_maruyama" and not process.drift(torch.ones(1))[0].isfinite().all():
        pytest.skip("no finite drift at pure noise")
    return sampler_from(name, process)


@every_process
@pytest.mark.parametrize("name", NAMES)
def test_a_frame_whose_level_does_not_change_is_untouched(name: str, process: Process) -> None:
    z, x0, level, target, noise = _frames()
    sampler = _available(name, process)
    for _ in range(2):  # the second time a multistep sampler has a past
        moved = sampler.step(z, x0, level, target, noise)
        still = level == target
        assert torch.equal(moved[still], z[still])
        assert (moved[~still] != z[~still]).any(-1).any(-1).any(-1).all()
        assert moved.isfinite().all()


@every_process
@pytest.mark.parametrize("name", NAMES)
def test_every_frame_moves_by_its_own_levels_alone(name: str, process: Process) -> None:
    z, x0, level, target, noise = _frames()
    together, alone = _available(name, process), [_available(name, process) for _ in range(4)]
    for _ in range(2):
        moved = together.step(z, x0, level, target, noise)
        for i, sampler in enumerate(alone):
            one = slice(i, i + 1)
            single = sampler.step(z[:, one], x0[:, one], level[:, one], target[:, one], noise[:, one])
            torch.testing.assert_close(moved[:, one], single)


@every_process
def test_ddim_with_eta_1_is_ddpm(process: Process) -> None:
    z, x0, level, target, noise = _frames()
    one, other = Ddim(process, 1.0), Ddpm(process)
    torch.testing.assert_close(one.step(z, x0, level, target, noise), other.step(z, x0, level, target, noise))


def test_ddim_without_eta_is_the_rectified_flows_own_step() -> None:
    z, x0, level, target, _ = _frames()
    plain = diffusion.reverse(z, x0, level, target)
    straight = StraightFlow().step(z, x0, level, target, None)
    moves = level != target
    assert torch.equal(straight[moves], plain[moves])
    torch.testing.assert_close(Ddim(RectifiedFlow()).step(z, x0, level, target, None), straight)


@every_process
def test_deterministic_samplers_follow_the_path_of_a_perfect_prediction(process: Process) -> None:
    z0, eps, level, target, _ = _frames()
    z = corrupt(process, z0, eps, level)
    expected = corrupt(process, z0, eps, target)
    for name in ("ddim", "dpm_solver_pp"):
        sampler = _available(name, process)
        torch.testing.assert_close(sampler.step(z, z0, level, target, None), expected, atol=1e-5, rtol=1e-5)


@every_process
def test_ddpm_draws_from_the_forward_process_conditioned_on_the_prediction(process: Process) -> None:
    """Moments of z_s given z_t and x0, by the rule of Gaussians rather than by the sampler's formula."""
    t, s = torch.tensor([[0.8]], dtype=torch.double), torch.tensor([[0.3]], dtype=torch.double)
    x0, z, one = (torch.full((1, 1, 1), v, dtype=torch.double) for v in (0.7, -1.2, 1.0))
    a = (process.alpha(t) / process.alpha(s)).item()
    prior, mean = process.sigma(s).item() ** 2, process.alpha(s).item() * 0.7
    gain = a * prior / process.sigma(t).item() ** 2
    step = Ddpm(process).step
    found = step(z, x0, t, s, 0 * one)
    assert found.item() == pytest.approx(mean + gain * (-1.2 - a * mean))
    assert (step(z, x0, t, s, one) - found).item() ** 2 == pytest.approx(prior * (1 - gain * a))


def test_what_cannot_be_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = RectifiedFlow()
    with pytest.raises(SamplerError, match="did you mean 'ddim'"):
        sampler_from("dddim", flow)
    with pytest.raises(SamplerError, match=r"drift is finite.*use ddpm or ddim"):
        sampler_from("euler_maruyama", flow)
    with pytest.raises(SamplerError, match="eta"):
        sampler_from("ddim", flow, eta=2.0)
    z, x0, level, target, _ = _frames()
    with pytest.raises(SamplerError, match="noise"):
        sampler_from("ddpm", flow).step(z, x0, level, target, None)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(SamplerError, match="pip install diffusers"):
        sampler_from("dpm_solver_pp", flow)


# Exact convergence on a Gaussian whose score is known in closed form.


@dataclass
class Gaussian:
    """One latent per frame, x0 ~ N(mean, variance)."""

    mean: float = 1.0
    variance: float = 0.25

    def at(self, process: Process, level: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of z at a level."""
        alpha, sigma = process.alpha(level), process.sigma(level)
        return alpha * self.mean, alpha.square() * self.variance + sigma.square()

    def posterior(self, process: Process, z: Tensor, level: Tensor) -> Tensor:
        """E[x0 | z], what a perfect network would predict."""
        mean, variance = (x[..., None] for x in self.at(process, level))
        gain = process.alpha(level)[..., None] * self.variance / variance
        return self.mean + gain * (z - mean)


Steps = tuple[Tensor, Tensor, Tensor]


def _affine(sampler: Sampler, process: Process, toy: Gaussian, levels: Tensor) -> Steps:
    """A, b, C of every step z -> A z + b + C noise, all steps probed at once as frames of one row."""
    level, target = levels[None, :-1], levels[None, 1:]

    def step(z: float, noise: float) -> Tensor:
        at, fresh = (torch.full((1, level.shape[1], 1), v, dtype=torch.double) for v in (z, noise))
        return sampler.step(at, toy.posterior(process, at, level), level, target, fresh).flatten()

    b = step(0, 0)
    return step(1, 0) - b, b, step(0, 1) - b


def _kl(m0: Tensor, v0: Tensor, m1: Tensor, v1: Tensor) -> Tensor:
    """KL(N(m0, v0) || N(m1, v1))."""
    ratio = v0 / v1
    return (ratio - 1 - ratio.log() + (m0 - m1).square() / v1) / 2


def _levels(steps: int) -> Tensor:
    return path(next_frame(), steps)[:, 0].double()


def _marginal(toy: Gaussian, process: Process, levels: Tensor, steps: Steps) -> float:
    """KL of the true frame to the one that the sampler makes of pure noise."""
    mean, variance = torch.zeros(()), torch.ones(())
    for a, b, c in zip(*(s.tolist() for s in steps), strict=True):
        mean, variance = a * mean + b, a * a * variance + c * c
    true_mean, true_variance = toy.at(process, levels[-1])
    return float(_kl(true_mean, true_variance, mean, variance))


def _budget(toy: Gaussian, process: Process, levels: Tensor, steps: Steps) -> tuple[float, float]:
    """NIE and DE of a stochastic sampler: KL of the whole true reverse chain to the sampler's, by the chain rule."""
    mean, variance = toy.at(process, levels)
    start = _kl(mean[0], variance[0], torch.zeros(()), torch.ones(()))
    (a, b, c), ratio = steps, process.alpha(levels[:-1]) / process.alpha(levels[1:])
    gain = ratio * variance[1:] / variance[:-1]  # of the true z_s on z_t
    true_mean = mean[1:] - gain * mean[:-1]
    left = variance[1:] - gain.square() * variance[:-1]
    off = (gain - a) * mean[:-1] + true_mean - b
    miss = off.square() + (gain - a).square() * variance[:-1]  # expected square of the means' difference
    kl = (left / c.square() - 1 - (left / c.square()).log() + miss / c.square()) / 2
    return float(start), float(kl.sum())


def _slope(x: list[float], y: list[float]) -> float:
    return float(np.polyfit(x, np.log(y), 1)[0])


def test_discretization_error_falls_like_1_over_steps() -> None:
    """DE of Theorem 1 under Euler-Maruyama with beta = 1 (section 5, appendix G)."""
    toy, process, counts = Gaussian(), VariancePreserving("constant", horizon=8.0), [128, 256, 512, 1024]
    errors, outputs = [], []
    for count in counts:
        levels = _levels(count)
        steps = _affine(EulerMaruyama(process), process, toy, levels)
        start, error = _budget(toy, process, levels, steps)
        output = _marginal(toy, process, levels, steps)
        assert output <= start + error
        errors.append(error)
        outputs.append(output)
    assert _slope(np.log(counts).tolist(), errors) == pytest.approx(-1, abs=0.1)
    assert outputs == sorted(outputs, reverse=True)


def test_noise_initialization_error_falls_like_exp_minus_T() -> None:
    """NIE of Theorem 1; with a step width that makes DE small, the whole budget falls with it."""
    toy, horizons = Gaussian(), [2.0, 4.0, 6.0, 8.0]
    errors, totals, outputs = [], [], []
    for horizon in horizons:
        process, levels = VariancePreserving("constant", horizon=horizon), _levels(int(2000 * horizon))
        steps = _affine(EulerMaruyama(process), process, toy, levels)
        start, error = _budget(toy, process, levels, steps)
        errors.append(start)
        totals.append(start + error)
        outputs.append(_marginal(toy, process, levels, steps))
    assert _slope(horizons[1:], errors[1:]) == pytest.approx(-1, abs=0.05)
    assert totals == sorted(totals, reverse=True)
    assert all(output <= total for output, total in zip(outputs, totals, strict=True))
    assert _slope(horizons, outputs) < -0.95  # what comes out forgets its start even faster


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("process", ["vp_linear", "vp_cosine", "rectified_flow"])
def test_more_steps_bring_every_sampler_nearer_to_the_truth(name: str, process: str) -> None:
    toy, made = Gaussian(), process_from(process)
    _available(name, made)
    outputs = []
    for count in (16, 50, 200):
        levels = _levels(count)
        outputs.append(_propagated(name, made, toy, levels))
    floor = float(_kl(*toy.at(made, torch.ones(())), torch.zeros(()), torch.ones(())))  # NIE stays
    assert all(b < max(a, 1.1 * floor) for a, b in itertools.pairwise(outputs))
    assert outputs[-1] < 0.01


def _propagated(name: str, process: Process, toy: Gaussian, levels: Tensor) -> float:
    """As ``_marginal``, for a sampler that may remember: three runs, from 0 and 1 without noise, carry the mean."""
    sampler = sampler_from(name, process)
    if sampler.stochastic:
        return _marginal(toy, process, levels, _affine(sampler, process, toy, levels))
    z = torch.tensor([[[0.0]], [[1.0]]], dtype=torch.double)  # (2, 1, 1)
    for now, then in itertools.pairwise(levels):
        level, target = now.expand(2, 1), then.expand(2, 1)
        z = sampler.step(z, toy.posterior(process, z, level), level, target, None)
    mean, other = z.flatten()
    return float(_kl(*toy.at(process, levels[-1]), mean, (other - mean).square()))


def test_dpm_solver_converges_at_second_order_where_ddim_does_at_first() -> None:
    pytest.importorskip("diffusers")
    toy, process, counts = Gaussian(), VariancePreserving("constant", horizon=4.0), [20, 40, 80, 160]
    slopes = {}
    for name in ("ddim", "dpm_solver_pp"):
        errors = []
        for count in counts:
            levels = torch.linspace(1, 0.2, count + 1, dtype=torch.double)  # smooth in log SNR
            sampler, z = sampler_from(name, process), torch.full((1, 1, 1), 1.5, dtype=torch.double)
            (m1, v1), (m0, v0) = (toy.at(process, levels[i]) for i in (0, -1))
            exact = m0 + (v0 / v1).sqrt() * (z - m1)  # the probability flow of a Gaussian
            for now, then in itertools.pairwise(levels):
                level, target = now.expand(1, 1), then.expand(1, 1)
                z = sampler.step(z, toy.posterior(process, z, level), level, target, None)
            errors.append(float((z - exact).abs()))
        slopes[name] = _slope(np.log(counts).tolist(), errors)
    assert slopes["ddim"] == pytest.approx(-1, abs=0.15)
    assert slopes["dpm_solver_pp"] < -1.7


def test_kl_to_a_gaussian_mixture_falls_with_the_steps() -> None:
    """Two modes: the sampler's step is no longer affine, so its density is carried on a grid."""
    process = VariancePreserving("constant", horizon=6.0)
    means, variance = torch.tensor([-1.0, 1.0], dtype=torch.double), 0.15
    grid = torch.linspace(-6, 6, 361, dtype=torch.double)
    width = float(grid[1] - grid[0])
    sampler = EulerMaruyama(process)

    def density(mean: Tensor, var: Tensor) -> Tensor:
        return torch.exp(-(grid - mean[:, None]).square() / (2 * var)) / (2 * math.pi * var).sqrt()

    def posterior(level: Tensor) -> Tensor:
        alpha, total = process.alpha(level), process.alpha(level) ** 2 * variance + process.sigma(level) ** 2
        modes = density(alpha * means, total)  # (2, G)
        each = means[:, None] + alpha * variance / total * (grid - alpha * means[:, None])
        return (modes * each).sum(0) / modes.sum(0)

    outputs, counts = [], [32, 64, 128]
    for count in counts:
        made = density(torch.zeros(1).double(), torch.ones(()).double())[0]
        for now, then in zip(_levels(count)[:-1], _levels(count)[1:], strict=True):
            z, x0 = grid[None, :, None], posterior(now)[None, :, None]
            level, target = now.expand(1, len(grid)), then.expand(1, len(grid))
            centre = sampler.step(z, x0, level, target, torch.zeros_like(z)).flatten()
            spread = sampler.step(z, x0, level, target, torch.ones_like(z)).flatten() - centre
            made = made @ density(centre, spread[:1].square()) * width
        truth = density(means, torch.tensor(variance).double()).mean(0)
        outputs.append(
            float((truth * (truth.clamp_min(1e-300) / made.clamp_min(1e-300)).log()).sum() * width)
        )
    assert min(outputs) > 0
    assert _slope(np.log(counts).tolist(), outputs) < -0.9
