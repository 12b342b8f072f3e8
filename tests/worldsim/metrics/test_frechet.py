"""Fréchet distances: the closed form, and a feature space of our own."""

import numpy as np
import pytest
import torch

from worldsim.config import AutoencoderConfig
from worldsim.frames import to_tensor
from worldsim.metrics import frechet
from worldsim.metrics.frechet import Gaussian, fit, frechet_distance, lfd_clips, lfd_frames
from worldsim.models.autoencoders.conv import ConvAutoencoder


def _encode(frames: np.ndarray) -> torch.Tensor:
    torch.manual_seed(0)
    with torch.no_grad():
        return ConvAutoencoder(AutoencoderConfig()).eval().encode(to_tensor(frames))


def _clips(seed: int, n: int = 6, bright: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 150, (n, 3, 16, 16, 3)) + bright).astype(np.uint8)


def test_along_one_axis_it_is_the_closed_form() -> None:
    a, b = (Gaussian(np.array([m]), np.array([[s * s]]), 9) for m, s in ((1.0, 2.0), (4.0, 0.5)))
    assert frechet_distance(a, b) == pytest.approx((1 - 4) ** 2 + (2 - 0.5) ** 2, rel=1e-12)


def test_of_two_planes_it_is_the_closed_form_of_2_by_2_matrices() -> None:
    """tr (AB)^(1/2) = sqrt(tr AB + 2 sqrt(det AB)) in two dimensions; these two do not commute."""
    s, t = np.array([[2.0, 0.9], [0.9, 1.0]]), np.array([[0.5, -0.3], [-0.3, 3.0]])
    m = np.array([1.0, -2.0])
    expected = m @ m + np.trace(s + t) - 2 * np.sqrt(np.trace(s @ t) + 2 * np.sqrt(np.linalg.det(s @ t)))
    found = frechet_distance(Gaussian(m, s, 9), Gaussian(np.zeros(2), t, 9))
    assert found == pytest.approx(expected, rel=1e-12)


def test_singular_covariances_are_no_special_case() -> None:
    """Three samples in 50 dimensions; moved by 1 along each axis they are 50 apart."""
    x = np.random.default_rng(0).normal(size=(3, 50))
    assert frechet_distance(fit(x), fit(x + 1)) == pytest.approx(50, abs=1e-6)
    assert frechet_distance(fit(x), fit(x)) == pytest.approx(0, abs=1e-6)


def test_samples_of_known_gaussians_come_near_their_distance() -> None:
    rng = np.random.default_rng(1)
    found = frechet_distance(fit(rng.normal(0, 1, (20000, 3))), fit(rng.normal(2, 3, (20000, 3))))
    assert found == pytest.approx(3 * (4 + 4), rel=0.05)


def test_what_has_no_covariance_is_refused() -> None:
    with pytest.raises(frechet.FrechetError, match="at least 2"):
        fit(np.zeros((1, 4)))
    with pytest.raises(frechet.FrechetError, match="one dimension"):
        frechet_distance(fit(np.zeros((2, 4))), fit(np.zeros((2, 3))))
    with pytest.raises(frechet.FrechetError, match="finite"):
        fit(np.full((3, 2), np.nan))
    with pytest.raises(frechet.FrechetError, match="2 frames"):
        lfd_clips(_encode, _clips(0)[:, :1], _clips(0)[:, :1])


def test_the_latent_distance_is_zero_of_equal_frames_and_grows_with_what_differs() -> None:
    true = _clips(0)[:, 0]
    assert lfd_frames(_encode, true, true) == pytest.approx(0, abs=1e-9)
    near, far = (lfd_frames(_encode, true, _clips(0, bright=b)[:, 0]) for b in (10, 100))
    assert 0 < near < far


def test_the_latent_distance_of_clips_sees_the_order_of_frames_and_that_of_frames_does_not() -> None:
    """A brightening picture, and the same frames shuffled."""
    rising = np.stack([np.clip(_clips(s, 1)[0, :1] + np.arange(0, 100, 10).reshape(-1, 1, 1, 1), 0, 255)
                       for s in range(6)]).astype(np.uint8)  # fmt: skip
    shuffled = rising[:, [0, 7, 2, 9, 4, 1, 6, 3, 8, 5]]
    flat = rising.reshape(-1, 16, 16, 3), shuffled.reshape(-1, 16, 16, 3)
    assert lfd_frames(_encode, *flat) == pytest.approx(0, abs=1e-9)
    assert lfd_clips(_encode, rising, shuffled) > 1e-6
