"""The convolutional autoencoder: what makes latents and what draws are apart, and both may begin linear."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers.small_variant import awake
from training.data.episodes import latents_of
from training.train.autoencoder import begin_with_components
from worldsim.config import AutoencoderConfig
from worldsim.frames import to_tensor
from worldsim.models.autoencoders.conv import ConvAutoencoder

SMALL = AutoencoderConfig(8, [8, 8, 16], [8, 8, 16], superresolution=True, linear=True)


def _pictures(patterns: int) -> np.ndarray:
    """Pictures whose every cell is made of so many patterns of unlike strength."""
    rng = np.random.default_rng(0)
    shown, weights = rng.normal(size=(patterns, 8, 8, 3)), rng.normal(size=(60, 4, 4, patterns))
    cells = np.einsum("nrck,khwd->nrhcwd", weights * np.geomspace(8, 1, patterns), shown)
    return np.clip(127.5 + 0.6 * cells.reshape(60, 32, 32, 3), 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("linear", [True, False])
def test_each_weight_either_encodes_or_draws(linear: bool) -> None:
    """So that another decoder changes no latents, and a trainer of decoders nothing that walks were encoded with."""
    torch.manual_seed(0)
    model = awake(ConvAutoencoder(replace(SMALL, linear=linear))).eval()
    draws = [p for name, p in model.named_parameters() if name.startswith(model.DRAWING)]
    encodes = [p for name, p in model.named_parameters() if not name.startswith(model.DRAWING)]
    mark, frames = latents_of(model), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        before = model.encode(frames), model.decode(model.encode(frames))
        for parameter in draws:
            parameter += 0.1
        assert torch.equal(model.encode(frames), before[0]) and latents_of(model) == mark
        assert not torch.allclose(model.decode(before[0]), before[1])
        for parameter in encodes:
            parameter += 0.1
    assert latents_of(model) != mark


def test_linear_cells_begin_as_principal_components() -> None:
    """What is made of as many patterns as there are channels comes back before any training; the strongest go first."""
    torch.manual_seed(0)
    for patterns, most in ((8, 0.02), (12, 1.0)):
        shown = _pictures(patterns)
        model = ConvAutoencoder(SMALL).eval()
        begin_with_components(model, shown)
        with torch.no_grad():
            back = model.decode(model.encode(to_tensor(shown)))
        left = (back - to_tensor(shown)).square().mean() / to_tensor(shown).var()
        assert float((back - to_tensor(shown)).abs().max()) < most
        assert float(left) < (3e-3 if patterns == 8 else 0.05)


def test_channels_begin_to_vary_alike() -> None:
    torch.manual_seed(0)
    model = ConvAutoencoder(replace(SMALL, channels=8)).eval()
    begin_with_components(model, _pictures(8))
    with torch.no_grad():
        deviation = model.encode_raw(to_tensor(_pictures(8))).std((0, 2, 3))
    assert float(deviation.max() / deviation.min()) < 2.5  # the patterns' own are eight times apart


def test_it_draws_the_same_inside_of_a_training_in_bf16_but_for_its_features() -> None:
    """Pixels are made in fp32: neighbouring shades of a bright wall are one number in bf16."""
    torch.manual_seed(0)
    model = ConvAutoencoder(SMALL).eval()
    begin_with_components(model, _pictures(8))
    with torch.no_grad():
        latents = model.encode(to_tensor(_pictures(8)))
        plain = model.decode_both(latents)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = model.decode_both(latents)
            assert torch.equal(model.encode(to_tensor(_pictures(8))), latents)
    for a, b in zip(plain, mixed, strict=True):
        assert b.dtype == torch.float32
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)
