"""The forward process: conversions are exact, losses of all predictions agree, and the flow follows its path."""

import pytest
import torch

from training.objectives.loss_weights import clip_noise, fused_snr, min_snr
from worldsim.diffusion import process as diffusion
from worldsim.diffusion.process import (
    KINDS,
    PROCESSES,
    DiffusionError,
    Process,
    RectifiedFlow,
    VariancePreserving,
    from_x0,
    process_from,
    snr,
    to_x0,
)

every_process = pytest.mark.parametrize("process", [process_from(name) for name in PROCESSES], ids=PROCESSES)


def _sample(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    z0, eps = torch.randn(2, 3, 4, 2, 2, generator=g), torch.randn(2, 3, 4, 2, 2, generator=g)
    return z0.to(dtype), eps.to(dtype), (torch.rand(2, 3, generator=g) * 0.9 + 0.05).to(dtype)


@every_process
def test_signal_falls_and_noise_rises_from_clean(process: Process) -> None:
    level = torch.linspace(0, 1, 101, dtype=torch.double)
    alpha, sigma = process.alpha(level), process.sigma(level)
    assert alpha[0] == 1 and sigma[0] == 0
    assert (alpha.diff() < 0).all() and (sigma.diff() >= 0).all()
    assert alpha[-1] < 0.01 and sigma[-1] > 0.9999
    a, b = process.velocity(level)
    torch.testing.assert_close(a * alpha + b * sigma, torch.ones_like(level))


@pytest.mark.parametrize("beta", ["linear", "cosine", "constant"])
def test_variance_is_preserved(beta: str) -> None:
    process, level = VariancePreserving(beta), torch.linspace(0, 1, 101, dtype=torch.double)
    total = process.alpha(level).square() + process.sigma(level).square()
    torch.testing.assert_close(total, torch.ones_like(total))


def test_constant_beta_is_the_papers_process_over_0_to_T() -> None:
    level = torch.linspace(0, 1, 5, dtype=torch.double)
    alpha = VariancePreserving("constant", horizon=6.0).alpha(level)
    torch.testing.assert_close(alpha, torch.exp(-3.0 * level))


@every_process
def test_drift_and_diffusion_are_those_of_the_coefficients(process: Process) -> None:
    t, h = torch.linspace(0.05, 0.9, 18, dtype=torch.double), 1e-6
    log = (process.alpha(t + h).log() - process.alpha(t - h).log()) / (2 * h)
    square = (process.sigma(t + h).square() - process.sigma(t - h).square()) / (2 * h)
    f, g2 = process.drift(t)
    torch.testing.assert_close(f, log, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(g2, square - 2 * log * process.sigma(t).square(), atol=1e-6, rtol=1e-6)


@every_process
def test_noise_is_found_from_the_signal_to_noise_ratio(process: Process) -> None:
    t = torch.linspace(0.05, 0.95, 10, dtype=torch.double)
    torch.testing.assert_close(process.sigma_at(snr(process, t)), process.sigma(t))


@every_process
@pytest.mark.parametrize("kind", KINDS)
def test_the_truth_converts_into_every_prediction_and_back(process: Process, kind: str) -> None:
    z0, eps, t = _sample(torch.double)
    z = diffusion.corrupt(process, z0, eps, t)
    level = t[..., None, None, None]
    a, b = process.velocity(level)
    truth = {"x0": z0, "eps": eps, "v": a * eps - b * z0}[kind]
    torch.testing.assert_close(from_x0(process, z0, z, t, kind), truth, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(to_x0(process, truth, z, t, kind), z0, atol=1e-9, rtol=1e-9)


@every_process
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", [0.0, 1.0])
def test_conversions_are_finite_at_both_ends_and_exact_back(process: Process, kind: str, end: float) -> None:
    z0, eps, t = _sample(torch.double)
    t = torch.full_like(t, end)
    z = diffusion.corrupt(process, z0, eps, t)
    prediction = from_x0(process, z0, z, t, kind)
    assert prediction.isfinite().all()
    torch.testing.assert_close(to_x0(process, prediction, z, t, kind), z0, atol=1e-9, rtol=1e-9)


def test_corrupting_without_a_process_is_the_rectified_flow() -> None:
    z0, eps, t = _sample()
    assert torch.equal(
        diffusion.corrupt(z0, eps, t), diffusion.corrupt(process_from("rectified_flow"), z0, eps, t)
    )


def test_what_does_not_exist_is_refused_in_a_sentence() -> None:
    z0, eps, t = _sample()
    with pytest.raises(DiffusionError, match="did you mean 'vp_cosine'"):
        process_from("vp_cosin")
    with pytest.raises(DiffusionError, match="horizont"):
        process_from("vp_constant", horizont=3)
    with pytest.raises(DiffusionError, match="beta_min"):
        process_from("vp_linear", beta_min=2.0, beta_max=1.0)
    with pytest.raises(DiffusionError, match="linear, cosine or constant"):
        VariancePreserving("sine")
    for convert in (to_x0, from_x0):
        with pytest.raises(DiffusionError, match="x0, eps or v"):
            convert(process_from("vp_linear"), z0, eps, t, "score")


def test_a_perfect_prediction_moves_along_the_path() -> None:
    z0, eps, t = _sample()
    lower = t * 0.3
    moved = diffusion.reverse(diffusion.corrupt(z0, eps, t), z0, t, lower)
    torch.testing.assert_close(moved, diffusion.corrupt(z0, eps, lower), atol=1e-5, rtol=1e-4)


def test_boundaries_are_clean_and_noise() -> None:
    z0, eps, t = _sample()
    assert torch.equal(diffusion.corrupt(z0, eps, torch.zeros_like(t)), z0)
    assert torch.equal(diffusion.corrupt(z0, eps, torch.ones_like(t)), eps)


def test_the_loss_weight_is_the_velocitys_above_the_floor() -> None:
    t = torch.tensor([0.1, 0.4, 0.5, 1.0])
    weight = diffusion.loss_weight(t)
    torch.testing.assert_close(weight / weight[-1], torch.tensor([6.25, 6.25, 4.0, 1.0]))


def test_few_step_sampling_meets_pure_noise_in_training() -> None:
    g = torch.Generator().manual_seed(0)
    levels = diffusion.sample_levels(torch.randn(4000, generator=g), torch.rand(4000, generator=g))
    assert 0.9 < diffusion.loss_weight(levels).mean() < 1.1
    assert 0.09 < (levels == 1).float().mean() < 0.17
    assert levels.min() > 0


@every_process
def test_min_snr_weighs_one_error_alike_however_it_is_predicted(process: Process) -> None:
    z0, eps, t = _sample(torch.double)
    z = diffusion.corrupt(process, z0, eps, t)
    wrong = z0 + 0.1 * torch.randn(z0.shape, generator=torch.Generator().manual_seed(1)).double()
    losses = []
    for kind in KINDS:
        error = from_x0(process, wrong, z, t, kind) - from_x0(process, z0, z, t, kind)
        losses.append(min_snr(process, t, kind) * error.square().mean((2, 3, 4)))
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(losses[0], losses[2])


def test_min_snr_holds_the_ratio_at_its_cap() -> None:
    process, t = process_from("vp_cosine"), torch.tensor([[0.0, 0.1, 0.9]])
    assert min_snr(process, t, "x0")[0].tolist() == pytest.approx([5, 5, snr(process, t)[0, 2].item()])


@every_process
@pytest.mark.parametrize("kind", KINDS)
def test_fused_snr_without_a_past_is_min_snr(process: Process, kind: str) -> None:
    level = torch.rand(3, 5, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.05
    alone = min_snr(process, level, kind)
    torch.testing.assert_close(fused_snr(process, level, kind, decay=0.0), alone)
    torch.testing.assert_close(fused_snr(process, level, kind)[:, 0], alone[:, 0])


def test_fused_snr_weighs_a_noisy_frame_more_behind_clean_ones() -> None:
    process = process_from("vp_cosine")
    behind_clean = torch.tensor([[0.0, 0.0, 0.0, 0.9]])
    behind_noise = torch.tensor([[1.0, 1.0, 1.0, 0.9]])
    heavy, light = fused_snr(process, behind_clean, "x0"), fused_snr(process, behind_noise, "x0")
    assert heavy[0, -1] > 10 * light[0, -1]
    # Clean frames say all there is to say, but for the decay: 1 - (1 - 0.96) (1 - S).
    own = min_snr(process, behind_clean, "x0")[0, -1].item() / 5
    assert heavy[0, -1].item() == pytest.approx(5 * (1 - 0.04 * (1 - own)))


def test_fused_snr_looks_both_ways_where_the_model_does() -> None:
    process, level = process_from("vp_linear"), torch.tensor([[0.8, 0.2, 0.5]])
    both = fused_snr(process, level, "x0", causal=False)
    torch.testing.assert_close(both.flip(1), fused_snr(process, level.flip(1), "x0", causal=False))
    assert both[0, 0] > fused_snr(process, level, "x0")[0, 0]


@every_process
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_finite_and_never_negative_at_every_level(process: Process, kind: str) -> None:
    level = torch.tensor([[0.0, 1.0, 0.5], [1.0, 1.0, 0.0]])
    for weight in (min_snr(process, level, kind), fused_snr(process, level, kind)):
        assert weight.isfinite().all() and (weight >= 0).all()


def test_noise_is_clipped_at_six() -> None:
    noise = torch.tensor([-9.0, -1.0, 6.5])
    assert clip_noise(noise).tolist() == [-6.0, -1.0, 6.0]


def test_the_rectified_flow_predicts_straight_lines() -> None:
    z0, eps, t = _sample()
    z = diffusion.corrupt(z0, eps, t)
    torch.testing.assert_close(from_x0(RectifiedFlow(), z0, z, t, "v"), eps - z0, atol=1e-4, rtol=1e-4)
