"""The denoiser: playing computes what training computed, nobody sees the future, and a step stays flat in cost."""

import pytest
import torch
from torch.nn import functional as F

from tests.worldsim.small_model import WINDOW, small_model
from worldsim.denoisers.causal_dit import MOTION_FEATURES, CausalDiT
from worldsim.denoisers.layers import Cache

LENGTH = 10


def _inputs(net: CausalDiT) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    h, w = net.grid
    return {
        "clean": torch.randn(2, LENGTH, net.channels, h, w, generator=g),
        "noisy": torch.randn(2, LENGTH, net.channels, h, w, generator=g),
        "clean_level": torch.rand(2, LENGTH, generator=g) * 0.1,
        "noisy_level": torch.rand(2, LENGTH, generator=g),
        "control": torch.randn(2, LENGTH, 20 + MOTION_FEATURES, generator=g),
        "read": torch.randn(2, LENGTH, net.extra, h, w, generator=g),
    }


@pytest.fixture(scope="module")
def net() -> CausalDiT:
    return small_model().denoiser


@torch.no_grad()
def test_playing_frame_by_frame_equals_the_training_pass(net: CausalDiT) -> None:
    x = _inputs(net)
    whole = net.clip(**x)
    cache = Cache()
    for i in range(LENGTH):
        one = slice(i, i + 1)
        y = net.denoise(
            x["noisy"][:, one], x["noisy_level"][:, one], x["control"][:, one], x["read"][:, one], cache, i
        )
        torch.testing.assert_close(y, whole[:, one], atol=1e-4, rtol=1e-3)
        net.commit(x["clean"][:, one], x["clean_level"][:, one], x["control"][:, one], cache, i)
        assert cache.keys[0].shape[2] == min(i + 1, WINDOW) * net.tokens


@torch.no_grad()
def test_windowed_attention_equals_a_plain_masked_one(net: CausalDiT) -> None:
    g = torch.Generator().manual_seed(2)
    n = 2 * LENGTH * net.tokens
    q, k, v = (torch.randn(2, net.heads, n, 8, generator=g) for _ in range(3))
    i, j = torch.arange(LENGTH)[:, None], torch.arange(LENGTH)[None]
    clean, before = (j <= i) & (j > i - WINDOW), (j < i) & (j >= i - WINDOW)
    frames = torch.cat([torch.cat([clean, clean & False], 1), torch.cat([before, i == j], 1)])
    mask = frames.repeat_interleave(net.tokens, 0).repeat_interleave(net.tokens, 1)
    plain = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    torch.testing.assert_close(net._attend_in_clip(q, k, v), plain, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_later_frame_changes_nothing_before_it(net: CausalDiT) -> None:
    x = _inputs(net)
    before = net.clip(**x)
    for name in ("clean", "noisy", "control", "read"):
        x[name] = x[name].clone()
        x[name][:, 6] += 1.0
    after = net.clip(**x)
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6], after[:, 6])


@torch.no_grad()
def test_a_frame_behind_the_window_is_out_of_reach_of_one_layer(net: CausalDiT) -> None:
    single = CausalDiT.__new__(CausalDiT)
    single.__dict__ = {**net.__dict__, "_modules": {**net._modules, "blocks": net.blocks[:1]}}
    x = _inputs(net)
    before = single.clip(**x)
    x["clean"] = x["clean"].clone()
    x["clean"][:, 0] += 1.0
    after = single.clip(**x)
    changed = (before != after).flatten(2).any(2).any(0)
    assert changed.tolist() == [False] + [True] * WINDOW + [False] * (LENGTH - 1 - WINDOW)


@torch.no_grad()
def test_patches_come_back_where_they_were(net: CausalDiT) -> None:
    x = torch.randn(2, 3, net.channels, *net.grid)
    assert torch.equal(net._unpatchify(net._patchify(x)), x)


@torch.no_grad()
def test_frame_ten_thousand_is_as_exact_as_frame_ten(net: CausalDiT) -> None:
    x = _inputs(net)

    def play(first: int) -> torch.Tensor:
        cache = Cache()
        for i in range(6):
            one = slice(i, i + 1)
            net.commit(x["clean"][:, one], x["clean_level"][:, one], x["control"][:, one], cache, first + i)
        return net.denoise(
            x["noisy"][:, 6:7],
            x["noisy_level"][:, 6:7],
            x["control"][:, 6:7],
            x["read"][:, 6:7],
            cache,
            first + 6,
        )

    torch.testing.assert_close(play(0), play(10_000), atol=1e-4, rtol=1e-3)
