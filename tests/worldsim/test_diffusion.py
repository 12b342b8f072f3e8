"""The flow between clean and noise: conversions are exact, and the reverse update follows the path it was made from."""

import torch

from worldsim import diffusion
from worldsim.ar_step import autoregressive_step
from worldsim.schedules import fifo, next_frame


def _sample() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    z0, eps = torch.randn(2, 3, 4, 2, 2, generator=g), torch.randn(2, 3, 4, 2, 2, generator=g)
    return z0, eps, torch.rand(2, 3, generator=g) * 0.9 + 0.05


def test_predictions_convert_into_one_another() -> None:
    z0, eps, t = _sample()
    z = diffusion.corrupt(z0, eps, t)
    v = diffusion.x0_to_v(z0, z, t)
    torch.testing.assert_close(v, eps - z0, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(diffusion.v_to_x0(v, z, t), z0, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(diffusion.x0_to_eps(z0, z, t), eps, atol=1e-4, rtol=1e-4)


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


def test_an_autoregressive_step_emits_clean_frames_and_carries_the_rest() -> None:
    z0, eps, _ = _sample()
    for schedule in (next_frame(), fifo(3)):
        w, stride = schedule.window, schedule.stride
        truth = z0[:, :w]
        start = torch.tensor(schedule.levels_in).expand(2, -1)
        z = diffusion.corrupt(truth, eps[:, :w], start)
        clean, carried = autoregressive_step(
            lambda z, level, truth=truth: truth, z[:, : w - stride], z[:, w - stride :], schedule, 4
        )
        torch.testing.assert_close(clean, truth[:, :stride], atol=1e-5, rtol=1e-4)
        left = torch.tensor(schedule.levels_out[stride:]).expand(2, -1)
        expected = diffusion.corrupt(truth[:, stride:], eps[:, stride:w], left)
        torch.testing.assert_close(carried, expected, atol=1e-5, rtol=1e-4)
