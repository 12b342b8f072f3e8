"""AR-VAE: frames are encoded alone, decoded in the light of the past, never of the future, at a bounded cost."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from worldsim.config import ArVaeConfig
from worldsim.models.autoencoders.ar_vae import ArVae, ArVaeError, Stream
from worldsim.models.autoencoders.parts import from_parts, parts_of

SMALL = ArVaeConfig(size=16, patch=4, tokens=5, dim=3, width=32, depth=2, heads=2, window=3)
LENGTH = 7


@pytest.fixture(scope="module")
def vae() -> ArVae:
    torch.manual_seed(0)
    vae = ArVae(SMALL).eval().requires_grad_(False)
    torch.nn.init.normal_(vae.smooth.weight, std=0.1)
    vae.mean.normal_()
    vae.scale.uniform_(0.5, 2)
    return vae


@pytest.fixture
def latents() -> torch.Tensor:
    return torch.randn(2, LENGTH, 5, 3, generator=torch.Generator().manual_seed(1))


def _changed(before: torch.Tensor, after: torch.Tensor) -> list[bool]:
    """Which frames of (B, T, ...) are not the same to the last bit."""
    changed: list[bool] = (before != after).flatten(2).any(2).any(0).tolist()
    return changed


def test_a_frame_becomes_tokens_whatever_frames_are_beside_it(vae: ArVae) -> None:
    frames = torch.rand(4, 3, 16, 16) * 2 - 1
    whole = vae.encode(frames)
    assert whole.shape == (4, 5, 3)
    torch.testing.assert_close(vae.encode(frames[2:3]), whole[2:3], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(whole * vae.scale + vae.mean, vae.encode_raw(frames))


@pytest.mark.parametrize("frame", [0, 3, LENGTH - 1])
def test_a_changed_frame_leaves_all_earlier_frames_bit_identical(
    vae: ArVae, latents: torch.Tensor, frame: int
) -> None:
    before = vae.decode(latents)
    assert before.shape == (2, LENGTH, 3, 16, 16)
    latents[:, frame] += 1
    changed = _changed(before, vae.decode(latents))
    assert changed[:frame] == [False] * frame
    # Two layers of a window of 3 reach 4 frames on.
    assert changed[frame:] == [i <= 4 for i in range(LENGTH - frame)]


def test_without_the_past_a_frame_sees_only_its_own_tokens(vae: ArVae, latents: torch.Tensor) -> None:
    before = vae.decode(latents, causal=False)
    latents[:, 3] += 1
    assert _changed(before, vae.decode(latents, causal=False)) == [i == 3 for i in range(LENGTH)]
    first = vae.decode(latents)[:, 0]
    torch.testing.assert_close(first, vae.decode(latents, causal=False)[:, 0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("window", [1, 2, 3, 20])
def test_decoding_frame_by_frame_equals_decoding_at_once(latents: torch.Tensor, window: int) -> None:
    torch.manual_seed(0)
    config = ArVaeConfig(**{**vars(SMALL), "window": window})
    vae = ArVae(config).eval().requires_grad_(False)
    stream = Stream()
    one_by_one = torch.stack([vae.decode_next(z, stream) for z in latents.unbind(1)], 1)
    torch.testing.assert_close(one_by_one, vae.decode(latents), atol=1e-4, rtol=0)


def test_parts_of_a_picture_are_whole_again() -> None:
    frames = torch.rand(2, 3, 16, 24)
    parts = parts_of(frames, (8, 4))
    assert parts.shape == (2, 12, 96)
    assert torch.equal(parts[1, 7].view(3, 8, 4), frames[1, :, 8:16, 4:8])  # the second of the second row
    assert torch.equal(from_parts(parts, (8, 4), rows=2), frames)


@pytest.mark.parametrize("linear", [True, False])
def test_patches_are_those_of_a_convolution(linear: bool) -> None:
    torch.manual_seed(0)
    config = ArVaeConfig(**{**vars(SMALL), "tokens": 8, "linear": linear})
    vae = ArVae(config).requires_grad_(False)
    frames, seen = torch.rand(2, 3, 16, 16), []
    vae.encoder[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    vae.encode_raw(frames)
    expected = vae.patches_in(frames).flatten(2).transpose(1, 2) + vae.place_in
    torch.testing.assert_close(seen[0][:, 8:], expected)


def test_linear_tokens_must_divide_the_picture() -> None:
    with pytest.raises(ArVaeError, match="a grid that divides the picture, found 5"):
        ArVae(ArVaeConfig(**{**vars(SMALL), "linear": True}))


def test_what_a_stream_remembers_stays_within_the_window(vae: ArVae, latents: torch.Tensor) -> None:
    stream, sizes = Stream(), []
    for _ in range(4):
        for z in latents.unbind(1):
            vae.decode_next(z, stream)
            sizes.append([k.shape[2] for k in stream.cache.keys])
    assert stream.frames == 4 * LENGTH
    assert sizes == [
        [min(i, SMALL.window - 1) * SMALL.tokens] * SMALL.depth for i in range(1, len(sizes) + 1)
    ]


def test_frame_ten_thousand_is_decoded_as_frame_ten(vae: ArVae, latents: torch.Tensor) -> None:
    last = []
    for first in (0, 10_000):
        stream = Stream(frames=first)
        last.append([vae.decode_next(z, stream) for z in latents.unbind(1)][-1])
    torch.testing.assert_close(last[0], last[1], atol=1e-4, rtol=0)


def test_it_learns_to_rebuild_a_frame() -> None:
    torch.manual_seed(0)
    vae = ArVae(SMALL)
    frames = torch.rand(4, 3, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3) * 2 - 1
    optimizer = torch.optim.Adam(vae.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        loss = (vae.decode(vae.encode(frames)[:, None])[:, 0] - frames).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]


def test_the_papers_size_is_a_configuration() -> None:
    file = Path(__file__).parents[3] / "assets" / "configs" / "ar_vae.yaml"
    config = ArVaeConfig(**OmegaConf.to_object(OmegaConf.load(file).autoencoder))
    with torch.device("meta"):
        vae = ArVae(config)
    assert (config.tokens, config.dim, config.width, config.depth, config.heads) == (32, 4, 1024, 24, 16)
    assert sum(p.numel() for p in vae.parameters()) == pytest.approx(608e6, rel=0.01)
    with torch.device("meta"):
        assert vae.decode(torch.empty(1, 2, 32, 4)).shape == (1, 2, 3, 256, 256)


def test_what_does_not_fit_is_refused_in_a_sentence(vae: ArVae) -> None:
    with pytest.raises(ArVaeError, match=r"expected frames \(N, 3, 16, 16\), found \(1, 3, 8, 8\)"):
        vae.encode(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ArVaeError, match=r"expected latents \(B, T, 5, 3\), found \(1, 2, 3, 5\)"):
        vae.decode(torch.zeros(1, 2, 3, 5))
    with pytest.raises(ArVaeError, match="whole patches"):
        ArVae(ArVaeConfig(size=60))
    with pytest.raises(ArVaeError, match="width that 3 heads"):
        ArVae(ArVaeConfig(width=100))
