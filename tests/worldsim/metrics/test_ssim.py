"""SSIM and PSNR of frames."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from worldsim.metrics.retrieval import band
from worldsim.metrics.ssim import PSNR_CEILING, psnr, ssim


def _noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8)


def test_equal_frames_score_one_and_the_psnr_ceiling() -> None:
    assert ssim(_noise(), _noise()) == pytest.approx(1.0)
    assert psnr(_noise(), _noise()) == PSNR_CEILING


def test_unrelated_frames_score_near_zero() -> None:
    assert abs(ssim(_noise(0), _noise(1))) < 0.1


def test_psnr_follows_its_definition() -> None:
    a = np.full((16, 16, 3), 100, np.uint8)
    assert psnr(a, a + 10) == pytest.approx(10 * np.log10(255**2 / 100), abs=1e-4)


def test_ssim_of_flat_frames_follows_its_definition() -> None:
    a, b = np.full((16, 16, 3), 100, np.uint8), np.full((16, 16, 3), 150, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert ssim(a, b) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1), abs=1e-5)


def test_both_are_scikit_images() -> None:
    """On a picture and a noisy copy; SSIM as the mean of each colour on its own."""
    a = (np.indices((64, 64)).sum(0)[..., None] * np.array([1, 1.5, 2])).astype(np.uint8)
    b = np.clip(a + np.random.default_rng(0).normal(0, 20, a.shape), 0, 255).astype(np.uint8)
    colours = [structural_similarity(a[..., c], b[..., c], data_range=255) for c in range(3)]
    assert ssim(a, b) == pytest.approx(np.mean(colours), abs=1e-9)
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b), abs=1e-4)


def test_frames_of_different_shape_or_type_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        ssim(_noise(), _noise()[:32])
    with pytest.raises(ValueError, match="float32"):
        psnr(_noise(), _noise().astype(np.float32))


@pytest.mark.parametrize(("score", "name"), [(0.39, "forgotten"), (0.4, "resembling"), (0.9, "same")])
def test_the_bands_are_the_papers(score: float, name: str) -> None:
    assert band(score) == name
