"""The 3-D U-Net: any number of frames, each at its own level; what does not fit is one sentence."""

import pytest
import torch

from tests.helpers.small_variant import ACTIONS, CHANNELS, GRID, awake, small_denoiser, window
from worldsim.config import load
from worldsim.models.denoisers.protocol import DenoiserError
from worldsim.models.denoisers.unet3d import UNet3D, UNet3DConfig


@pytest.fixture(scope="module")
def net() -> UNet3D:
    unet: UNet3D = awake(small_denoiser("unet3d", beside=3, memory=8))
    return unet


@torch.no_grad()
@pytest.mark.parametrize("count", [0, 1, 16, 16 + 48, 130])
def test_the_temporal_axis_has_any_length(net: UNet3D, count: int) -> None:
    z, level, control = window(count)
    assert net(z, level, control).shape == z.shape


def test_it_starts_at_zero_and_gradient_reaches_every_parameter() -> None:
    fresh = small_denoiser("unet3d", beside=3, memory=8)
    z, level, control = window()
    extra = {"beside": torch.randn(2, 3, 3, *GRID), "memory": torch.randn(2, 5, 8)}
    assert not fresh(z, level, control, **extra).any()
    net = awake(fresh)
    net(z, level, control, **extra).square().mean().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


@torch.no_grad()
@pytest.mark.parametrize("which", [1, 2])
def test_the_level_and_control_of_one_frame_are_its_own(net: UNet3D, which: int) -> None:
    inputs = list(window())
    before = net(*inputs)
    inputs[which] = inputs[which].clone()
    inputs[which][:, 1] = inputs[which][:, 1] * 0.5
    moved = (net(*inputs) - before).abs().mean((0, 2, 3, 4))
    assert moved.min() > 0 and moved.argmax() == 1


@torch.no_grad()
def test_every_frame_sees_every_other_but_not_those_that_do_not_exist(net: UNet3D) -> None:
    z, level, control = window(4)
    valid = torch.tensor([[True, False, True, True], [True, True, True, True]])
    before = net(z, level, control, valid=valid)
    z = z.clone()
    z[:, 1] += 5
    after = net(z, level, control, valid=valid)
    exists = [0, 2, 3]
    assert torch.equal(before[0, exists], after[0, exists])
    assert (before[1, exists] != after[1, exists]).flatten(1).any(1).all()


@torch.no_grad()
def test_frames_that_do_not_exist_may_as_well_not_be_there(net: UNet3D) -> None:
    z, level, control = window(5)
    valid = torch.tensor([[False, False, True, True, True]]).expand(2, -1)
    there = net(z, level, control, valid=valid)[:, 2:]
    torch.testing.assert_close(there, net(z[:, 2:], level[:, 2:], control[:, 2:]), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_order_in_time_matters(net: UNet3D) -> None:
    z, level, control = window(4)
    turned = net(z.flip(1), level.flip(1), control.flip(1)).flip(1)
    assert not torch.allclose(turned, net(z, level, control), atol=1e-3)


@torch.no_grad()
def test_nothing_beside_is_zeros_beside(net: UNet3D) -> None:
    z, level, control = window()
    zeros = torch.zeros(2, 3, 3, *GRID)
    assert torch.equal(net(z, level, control), net(z, level, control, beside=zeros))
    assert torch.equal(net(z, level, control), net(z, level, control, memory=torch.zeros(2, 0, 8)))


def test_four_levels_down_and_up_by_default_and_small_enough_for_a_cpu() -> None:
    net = UNet3D(UNet3DConfig(), 16, 20)
    assert len(net.down) == len(net.up) == 4
    assert 1e6 < sum(p.numel() for p in net.parameters()) < 3e6
    assert load(UNet3DConfig, ["widths=[16,16]", "halve=[true]"]).widths == [16, 16]


@torch.no_grad()
def test_levels_may_halve_all_or_never() -> None:
    for halve in ([True, True, True], [False, False, False]):
        net = UNet3D(UNet3DConfig([8, 8, 8, 8], halve, resnets=2, heads=1, condition=8), CHANNELS, ACTIONS)
        z = torch.randn(1, 2, CHANNELS, 8, 16)
        assert net(z, torch.rand(1, 2), torch.randn(1, 2, ACTIONS)).shape == z.shape


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"widths": [20], "halve": []}, "found 20"),
        ({"widths": [32, 32], "halve": []}, "give 1"),
        ({"widths": [], "halve": []}, "give 0"),
        ({"heads": 0}, "at least 1"),
    ],
)
def test_a_config_that_does_not_fit_is_one_sentence(fields: dict, said: str) -> None:
    with pytest.raises(DenoiserError, match=said):
        UNet3DConfig(**fields)


def test_inputs_that_do_not_fit_are_one_sentence(net: UNet3D) -> None:
    z, level, control = window()
    bad = {
        "channels": lambda: net(z[:, :, :2], level, control),
        "one noise level a frame": lambda: net(z, level[:, 0], control),
        "expected control": lambda: net(z, level, control[..., :2]),
        "beside_channels": lambda: net(z, level, control, beside=z),
        "memory_width": lambda: net(z, level, control, memory=torch.zeros(2, 1, 7)),
        "multiple of 2 cells": lambda: net(z[..., :3], level, control),
    }
    for said, call in bad.items():
        with pytest.raises(DenoiserError, match=said) as caught:
            call()
        assert "\n" not in str(caught.value)
