"""Ways into the denoiser: no past is no memory, padding is nothing, a past matters, and each variant learns."""

import pytest
import torch

from tests.helpers.small_variant import (
    ACTIONS,
    CHANNELS,
    DENOISERS,
    GRID,
    awake,
    past,
    small_variant,
    window,
)
from worldsim.diffusion import references
from worldsim.models.memory.variants.prepend import Prepend
from worldsim.models.memory.variants.protocol import (
    COMPRESSORS,
    MemoryVariantConfig,
    MemoryVariantError,
    References,
    compress,
    compressor,
    way,
)
from worldsim.models.memory.variants.protocol import WAYS as WAYS_KNOWN
from worldsim.models.memory.variants.registry import compressor_from, variants, way_from
from worldsim.models.memory.variants.uncompressed import Uncompressed

WAYS = ("prepend", "channel", "cross_attention")
every_way = pytest.mark.parametrize("way", WAYS)
every_denoiser = pytest.mark.parametrize("denoiser", DENOISERS)


@torch.no_grad()
@every_denoiser
@every_way
def test_no_past_is_exactly_no_memory(denoiser: str, way: str) -> None:
    net, built, _ = map(awake, small_variant(denoiser, way))
    z, level, actions = window()
    plain = net(z, level, actions)
    padding = past(4)
    padding.valid[:] = False
    for nothing in (References.none(z, ACTIONS), padding):
        assert torch.equal(built(net, z, level, actions, nothing), plain)


@torch.no_grad()
@every_denoiser
@every_way
def test_a_row_of_the_batch_without_a_past_is_as_without_memory(denoiser: str, way: str) -> None:
    net, built, _ = map(awake, small_variant(denoiser, way))
    z, level, actions = window()
    some = past(4)
    some.valid[0] = False
    out = built(net, z, level, actions, some)
    torch.testing.assert_close(out[:1], net(z[:1], level[:1], actions[:1]), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(out[1:], net(z[1:], level[1:], actions[1:]), atol=1e-4)


def _tensors(past: References) -> tuple[torch.Tensor, ...]:
    return past.latents, past.actions, past.level, past.valid


@torch.no_grad()
@every_denoiser
@pytest.mark.parametrize(("way", "by"), variants())
def test_padding_changes_nothing_wherever_it_lies(denoiser: str, way: str, by: str) -> None:
    net, built, compressor = map(awake, small_variant(denoiser, way, by))
    z, level, actions = window()
    real = past(5)
    real.valid[1, 3] = False
    plain = built(net, z, level, actions, compress(compressor, real, 3))
    for where in (0, 2, 5):
        noise = past(2, seed=where)
        noise.latents[:], noise.valid[:] = 100.0, False
        pairs = zip(_tensors(real), _tensors(noise), strict=True)
        padded = References(*(torch.cat([a[:, :where], b, a[:, where:]], 1) for a, b in pairs))
        out = built(net, z, level, actions, compress(compressor, padded, 3))
        torch.testing.assert_close(out, plain, atol=1e-5, rtol=1e-4)


@torch.no_grad()
@every_denoiser
@every_way
@pytest.mark.parametrize("field", ["latents", "actions"])
def test_past_frames_and_past_actions_reach_every_denoised_frame(denoiser: str, way: str, field: str) -> None:
    net, built, _ = map(awake, small_variant(denoiser, way))
    z, level, actions = window()
    before = built(net, z, level, actions, past(4))
    other = past(4)
    setattr(other, field, getattr(other, field).flip(2))
    after = built(net, z, level, actions, other)
    assert (before != after).flatten(2).any(2).all()


@torch.no_grad()
@every_way
@pytest.mark.parametrize("denoiser", ["causal_dit", "forcing_dit"])
def test_in_a_causal_denoiser_a_later_frame_changes_nothing_before_it(denoiser: str, way: str) -> None:
    net, built, _ = map(awake, small_variant(denoiser, way))
    inputs = window(4)
    before = built(net, *inputs, past(5))
    for changed in inputs:
        changed[:, 2] += 1
    after = built(net, *inputs, past(5))
    assert torch.equal(before[:, :2], after[:, :2])
    assert not torch.allclose(before[:, 2:], after[:, 2:])


@torch.no_grad()
@every_way
def test_a_history_of_the_references_and_no_compression_is_no_memory_beyond_them(way: str) -> None:
    """With history = w, memory hands on the window's own references, the last w frames, and no other."""
    net, built, compressor = map(awake, small_variant("unet3d", way))
    z, level, actions = window(3)
    everything, w = past(10), 3
    seen = references.last(10, w)
    own = everything.mapped(lambda x: x[:, seen])
    memory = compress(compressor, everything.newest(w), w)
    for kept, reference in zip(_tensors(memory), _tensors(own), strict=True):
        assert torch.equal(kept, reference)
    assert torch.equal(built(net, z, level, actions, memory), built(net, z, level, actions, own))


@torch.no_grad()
@every_way
def test_any_number_of_past_frames(way: str) -> None:
    net, built, _ = map(awake, small_variant("unet3d", way))
    z, level, actions = window(1)
    outputs = [built(net, z, level, actions, past(count)) for count in (0, 1, 16, 112)]
    assert all(out.shape == z.shape and out.isfinite().all() for out in outputs)


@every_denoiser
@pytest.mark.parametrize(("way", "by"), variants())
def test_each_variant_learns_a_tiny_batch(denoiser: str, way: str, by: str) -> None:
    net, built, compressor = small_variant(denoiser, way, by)
    parameters = [p for module in (net, built, compressor) for p in module.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=5e-3, fused=True)
    z, level, actions = window(2)
    memory = past(4)
    losses = []
    for _ in range(30):
        kept = compress(compressor, memory, 2)
        loss = (built(net, z, level, actions, kept) - z.flip(1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
    idle = [p.shape for p in parameters if p.grad is None]
    assert idle == []


def test_the_variants_are_those_that_the_paper_defines() -> None:
    assert variants() == [
        ("channel", "none"),
        ("channel", "modulated"),
        ("cross_attention", "none"),
        ("prepend", "none"),
        ("prepend", "joint"),
    ]


def test_a_class_in_a_file_of_its_own_is_a_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WAYS_KNOWN, "mine", None)
    monkeypatch.setitem(COMPRESSORS, "first", None)

    @way("mine", compressors=("none",))
    class Mine(Prepend):
        pass

    @compressor("first", ways=("prepend", "mine"))
    class First(Uncompressed):
        pass

    assert {("mine", "none"), ("mine", "first"), ("prepend", "first")} <= set(variants())
    assert isinstance(small_variant("unet3d", "mine", "first")[1], Mine)
    with pytest.raises(MemoryVariantError, match="choose none or modulated"):
        way_from(MemoryVariantConfig("channel", "first"), CHANNELS, ACTIONS, GRID)


@pytest.mark.parametrize(
    ("way", "by", "said"),
    [
        ("prepnd", "none", "did you mean 'prepend'"),
        ("prepend", "zip", "expected joint, modulated, none"),
        ("prepend", "modulated", "choose none or joint"),
        ("channel", "joint", "choose none or modulated"),
        ("cross_attention", "joint", "with 'cross_attention' choose none"),
    ],
)
def test_a_variant_that_does_not_exist_is_one_sentence(way: str, by: str, said: str) -> None:
    for make in (way_from, compressor_from):
        with pytest.raises(MemoryVariantError, match=said) as caught:
            make(MemoryVariantConfig(way, by), CHANNELS, ACTIONS, GRID)
        assert "\n" not in str(caught.value)


def test_sizes_that_do_not_fit_are_one_sentence() -> None:
    with pytest.raises(MemoryVariantError, match="found width 30"):
        MemoryVariantConfig(width=30)
    with pytest.raises(MemoryVariantError, match="set patch to 1"):
        way_from(MemoryVariantConfig(patch=3), CHANNELS, ACTIONS, GRID)
