"""The picture loss is L1 and SSIM as measured elsewhere; the world model is asked it of what it denoised."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.helpers.small_model import small_model
from training.data.clips import ClipConfig, draw
from training.data.episodes import LatentEpisode
from training.objectives.image_loss import image_loss
from training.objectives.world_model import SSIM_WEIGHT, Objective, ObjectiveConfig
from worldsim.frames import to_tensor
from worldsim.metrics.ssim import ssim


def test_it_is_the_measured_similarity() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    b = np.clip(a + rng.normal(0, 40, a.shape), 0, 255).astype(np.uint8)
    loss, l1, similar = image_loss(to_tensor(b), to_tensor(a), 0.5)
    # The trainer's window slides over the borders too, scikit-image's stays inside.
    assert float(similar) == pytest.approx(np.mean([ssim(x, y) for x, y in zip(a, b, strict=True)]), abs=0.02)
    assert float(l1) == pytest.approx(np.abs(a.astype(float) - b).mean() / 127.5, abs=1e-5)
    assert float(loss) == pytest.approx(float(l1) + 0.5 * (1 - float(similar)))
    assert float(image_loss(to_tensor(a), to_tensor(a), 0.5)[0]) == pytest.approx(0, abs=1e-5)


def test_it_is_the_same_inside_of_a_training_in_bf16() -> None:
    """Where pictures hardly vary, bf16 would measure roundings: plain walls are what worlds are made of."""
    rng = np.random.default_rng(0)
    true = np.full((2, 32, 32, 3), 200, np.uint8)
    true[:, 16:] = 203
    found = true + rng.integers(0, 2, true.shape).astype(np.uint8)
    plain = image_loss(to_tensor(found), to_tensor(true), 0.5)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = image_loss(to_tensor(found), to_tensor(true), 0.5)
    assert all(torch.equal(a, b) for a, b in zip(plain, mixed, strict=True))


def test_the_objective_shows_what_it_denoised() -> None:
    torch.manual_seed(0)
    episode = LatentEpisode(
        torch.randn(40, 8, 4, 4), torch.randn(39, 20), torch.randn(40, 5) * torch.tensor([1, 0.1, 1, 30, 5])
    )
    config = ClipConfig(length=5, batch=2, pasts=(8,), past_odds=(1.0,), budgets=(4,), budget_odds=(1.0,))
    model = small_model()
    model.autoencoder.requires_grad_(False)

    def losses(**options: float) -> dict[str, torch.Tensor]:
        clip, noise = draw([episode], config, 0, 0, 0, torch.device("cpu"))
        found: dict[str, torch.Tensor] = Objective(model, ObjectiveConfig(**options))(clip, noise)  # type: ignore[arg-type]
        return found

    none, once, twice = losses(picture=0.0), losses(picture=1.0), losses(picture=2.0)
    assert "ssim" not in none
    term = float(once["loss"] - none["loss"])
    assert float(twice["loss"] - none["loss"]) == pytest.approx(2 * term, rel=1e-4)
    assert term > SSIM_WEIGHT * float(1 - once["ssim"]) > 0  # and the L1 above it
    for name in ("denoise", "guess", "odometry", "x0"):
        assert torch.equal(none[name], once[name])  # the same clip, levels and noise
    (once["loss"] - once["denoise"] - once["guess"]).backward()
    moved = model.denoiser.outside.weight.grad
    assert moved is not None and moved.any()
    assert model.autoencoder.decoder[0].weight.grad is None  # pictures are drawn as they will be in play
