"""The denoiser: playing computes what training computed, nobody sees the future, and a step stays flat in cost."""

import pytest
import torch
from torch.nn import functional as F

from tests.helpers.small_model import WINDOW, small_model
from worldsim.models.denoisers.causal_dit import MOTION_FEATURES, CausalDiT
from worldsim.models.denoisers.layers import Cache
from worldsim.models.denoisers.protocol import DenoiserError

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


@torch.no_grad()
def test_committing_frames_at_once_equals_one_by_one(net: CausalDiT) -> None:
    x = _inputs(net)
    one_by_one, at_once = Cache(), Cache()

    def commit(cache: Cache, first: int, stop: int) -> None:
        part = slice(first, stop)
        net.commit(x["clean"][:, part], x["clean_level"][:, part], x["control"][:, part], cache, first)

    for i in range(LENGTH):
        commit(one_by_one, i, i + 1)
    for first, stop in ((0, 2), (2, LENGTH)):
        commit(at_once, first, stop)
    for a, b in zip(one_by_one.keys + one_by_one.values, at_once.keys + at_once.values, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("before", [0, 2, WINDOW, LENGTH - 2])
@torch.no_grad()
def test_committing_and_denoising_in_one_pass_equals_one_after_the_other(net: CausalDiT, before: int) -> None:
    x = _inputs(net)
    caches = [Cache(), Cache()]
    for i in range(before):
        one = slice(i, i + 1)
        for cache in caches:
            net.commit(x["clean"][:, one], x["clean_level"][:, one], x["control"][:, one], cache, i)
    now, then = slice(before, before + 1), slice(before + 1, before + 2)
    clean = (x["clean"][:, now], x["clean_level"][:, now], x["control"][:, now])
    noisy = (x["noisy"][:, then], x["noisy_level"][:, then], x["control"][:, then])
    net.commit(*clean, caches[0], before)
    apart = net.denoise(*noisy, x["read"][:, then], caches[0], before + 1)
    joined = net.advance(clean, noisy, x["read"][:, then], caches[1], before)
    torch.testing.assert_close(joined, apart, atol=1e-5, rtol=1e-4)
    for a, b in zip(caches[0].keys + caches[0].values, caches[1].keys + caches[1].values, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def _protocol(net: CausalDiT, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    x = _inputs(net)
    return x["noisy"][:, :count], x["noisy_level"][:, :count], x["control"][:, :count], x["read"][:, :count]


@torch.no_grad()
def test_forward_of_one_frame_is_denoising_with_nothing_cached(net: CausalDiT) -> None:
    z, level, control, read = _protocol(net, 1)
    alone = net.denoise(z, level, control, read, Cache(), 0)
    torch.testing.assert_close(net(z, level, control, beside=read), alone, atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("causal", [True, False])
def test_forward_lets_a_frame_see_later_ones_only_if_not_causal(net: CausalDiT, causal: bool) -> None:
    either = CausalDiT.__new__(CausalDiT)
    either.__dict__ = {**net.__dict__, "causal": causal}
    z, level, control, _ = _protocol(net, 6)
    before = either(z, level, control)
    z = z.clone()
    z[:, 3] += 1.0
    changed = (before != either(z, level, control)).flatten(2).any(2).all(0)
    assert changed.tolist() == [not causal] * 3 + [True] * 3


@torch.no_grad()
def test_what_lies_behind_a_causal_frame_does_not_move_it(net: CausalDiT) -> None:
    z, level, control, read = _protocol(net, 8)
    whole = net(z, level, control, beside=read)
    part = net(z[:, :5], level[:, :5], control[:, :5], beside=read[:, :5])
    torch.testing.assert_close(whole[:, :5], part, atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_frames_that_do_not_exist_are_seen_by_none(net: CausalDiT) -> None:
    z, level, control, _ = _protocol(net, 5)
    valid = torch.tensor([[False, False, True, True, True], [True] * 5])
    seen = net(z, level, control, valid=valid)
    alone = net(z[:1, 2:], level[:1, 2:], control[:1, 2:])
    torch.testing.assert_close(seen[:1, 2:], alone, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(seen[1:], net(z[1:], level[1:], control[1:]), atol=1e-4, rtol=1e-3)


def test_cross_attention_is_built_only_when_asked_for(net: CausalDiT) -> None:
    config, torso = small_model().config.denoiser, set(net.state_dict())
    sizes = (net.channels, net.extra, net.grid, 20)
    assert set(CausalDiT(config, *sizes).state_dict()) == torso
    asked = CausalDiT(config, *sizes, memory_width=8)
    assert {name.split(".")[0] for name in set(asked.state_dict()) - torso} == {"across"}
    with pytest.raises(DenoiserError, match="memory_width"):
        net(*_protocol(net, 2)[:3], memory=torch.zeros(2, 1, 8))
