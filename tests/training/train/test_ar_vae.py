"""The tokenizer trains in three stages, goes on after a kill, and its adversary stays on its own side."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.helpers.small_run import SMALL_AR_VAE, SMALL_AUTOENCODER, record
from training.data.episodes import DataError, open_episodes
from training.data.frames import RandomClips
from training.objectives.patch_discriminator import PatchDiscriminator, hinge
from training.train import ar_vae as train_ar_vae
from training.train import autoencoder as train_autoencoder
from training.train.ar_vae import STAGES, Config, StagesConfig, Tokenizing, begin_with_components
from worldsim.checkpoint import CheckpointError, load_ar_vae, load_autoencoder
from worldsim.config import ArVaeConfig, load
from worldsim.frames import to_tensor
from worldsim.models.autoencoders.ar_vae import ArVae


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("data"), steps=12)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    assert train_ar_vae.main([f"data={data}", f"out={out}", "steps=9", *SMALL_AR_VAE]) == 0
    return out


def test_three_stages_make_a_tokenizer_that_comes_back(run: Path) -> None:
    result = json.loads((run / "ar_vae.json").read_text())
    assert result["steps"] == 10  # 4, 3 and 3 tenths of 9, each rounded
    assert np.isfinite(result["psnr"]) and result["n"] == 64
    assert sorted(p.name for p in run.iterdir() if p.is_dir()) == sorted(STAGES)
    vae, config = load_ar_vae(run / "ar_vae.safetensors")
    assert (config.size, config.tokens, config.window) == (32, 4, 3)
    frames = vae.decode(vae.encode(torch.zeros(5, 3, 32, 32))[None])
    assert frames.shape == (1, 5, 3, 32, 32) and bool((vae.scale != 1).all())


def test_the_same_command_after_the_end_trains_no_further(data: Path, run: Path) -> None:
    file = run / "ar_vae.safetensors"
    before, written = load_file(file), file.stat().st_mtime_ns
    assert train_ar_vae.main([f"data={data}", f"out={run}", "steps=9", *SMALL_AR_VAE]) == 0
    after = load_file(file)
    assert file.stat().st_mtime_ns > written and after.keys() == before.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_linear_tokens_begin_as_principal_components() -> None:
    """Pictures that are made of as many patterns as a token has numbers come back exactly, before any training."""
    rng = np.random.default_rng(0)
    patterns, weights = rng.normal(size=(3, 16, 8, 3)), rng.normal(size=(40, 2, 4, 3)) * [3, 2, 1]
    # Tokens on a grid of 2 x 4 have parts of 16 by 8 pixels.
    frames = np.einsum("nrck,khwd->nrhcwd", weights, patterns).reshape(40, 1, 32, 32, 3)
    shown = np.clip(127.5 + 2 * frames, 0, 255).round().astype(np.uint8)
    torch.manual_seed(0)
    vae = ArVae(
        ArVaeConfig(size=32, patch=8, tokens=8, dim=3, width=16, depth=1, heads=2, linear=True)
    ).eval()
    begin_with_components(vae, shown)
    with torch.no_grad():
        back = vae.decode(vae.encode(to_tensor(shown[:, 0]))[:, None])[:, 0]
    assert float((back - to_tensor(shown[:, 0])).abs().max()) < 0.02  # roundings of uint8, and no more


def test_one_scale_keeps_what_matters_more_larger() -> None:
    raw = torch.randn(4, 2, 5, 3) * torch.tensor([3.0, 1.0, 0.1])
    words = {
        "data": "",
        "out": "",
        "autoencoder": ArVaeConfig(size=32, patch=8, tokens=4, dim=3, width=16, heads=2),
    }
    each = Tokenizing(Config(**words, one_scale=False), STAGES[0]).spread(raw)
    one = Tokenizing(Config(**words), STAGES[0]).spread(raw)
    torch.testing.assert_close((raw / each).std((0, 1, 2)), torch.ones(3))
    assert one.unique().numel() == 1
    assert float((raw / one).square().mean()) == pytest.approx(1, abs=0.1)


def test_without_the_causal_stage_the_decoder_is_shown_no_past(data: Path, tmp_path: Path) -> None:
    words = ["steps=1", "stages.adversarial=0", "stages.causal=0", *SMALL_AR_VAE]
    assert train_ar_vae.main([f"data={data}", f"out={tmp_path}", *words]) == 0
    assert load_ar_vae(tmp_path / "ar_vae.safetensors")[1].window == 1


def test_each_side_of_the_adversary_moves_its_own_weights_only() -> None:
    torch.manual_seed(0)
    discriminator, fake = PatchDiscriminator(8), torch.rand(2, 3, 16, 16, requires_grad=True)
    generator_loss, discriminator_loss = hinge(discriminator, torch.rand(2, 3, 16, 16), fake)
    generator_loss.backward()
    assert fake.grad is not None and fake.grad.any()
    assert all(p.grad is None for p in discriminator.parameters())
    fake.grad = None
    discriminator_loss.backward()
    assert fake.grad is None
    assert all(p.grad is not None for p in discriminator.parameters())


def test_clips_are_frames_that_follow_one_another(data: Path) -> None:
    episodes = open_episodes(data)
    clips = RandomClips(episodes).batch(3, 4, np.random.default_rng(0))
    assert clips.shape == (3, 4, 32, 32, 3)
    whole = [e.frames() for e in episodes]
    for clip in clips:
        assert any((w[i : i + 4] == clip).all() for w in whole for i in range(len(w) - 3))
    with pytest.raises(DataError, match="no episode has 99 frames"):
        RandomClips(episodes).batch(1, 99, np.random.default_rng(0))


def test_the_papers_configuration_loads() -> None:
    file = Path(__file__).parents[3] / "assets" / "configs" / "ar_vae.yaml"
    config = load(Config, ["data=d", "out=o"], file)
    assert (config.autoencoder.tokens, config.autoencoder.depth, config.batch) == (32, 24, 16)
    assert [round(12 * config.stages.share(s)) for s in STAGES] == [1, 9, 2]


def test_mistakes_are_one_sentence(
    data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_ar_vae.main([f"data={data}", f"out={tmp_path}", "batch=5", "clip=4"]) == 2
    assert "whole clips of 4 frames, found 5" in capsys.readouterr().err
    with pytest.raises(ValueError, match="do not all vanish"):
        StagesConfig(0, 0, 0)
    with pytest.raises(CheckpointError, match="holds no whole autoencoder"):
        load_autoencoder(run / "ar_vae.safetensors")
    with pytest.raises(CheckpointError, match="no ar_vae at"):
        load_ar_vae(tmp_path / "nothing")
    assert (
        train_autoencoder.main([f"data={data}", f"out={tmp_path}", "steps=1", *SMALL_AUTOENCODER, "batch=4"])
        == 0
    )
    with pytest.raises(CheckpointError, match="holds no whole ar_vae"):
        load_ar_vae(tmp_path / "autoencoder.safetensors")


def test_patches_begin_as_principal_components() -> None:
    """What enters leaves as the best rebuilding from as many numbers, and half of them lose more than all."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (64, 1, 4, 4, 3), np.uint8)
    # (64, 1, 32, 32, 3), flat squares of 8 pixels: 12 numbers a patch of 16
    frames = coarse.repeat(8, 2).repeat(8, 3)
    model = ArVae(ArVaeConfig(size=32, patch=16, tokens=4, dim=3, width=16, depth=1, heads=2))
    train_ar_vae.begin_with_components(model, frames)
    x = to_tensor(frames[:, 0], "cpu")
    with torch.no_grad():
        inside = model.patches_in(x)  # (64, 16, 2, 2)
        errors = []
        for kept in (16, 6):
            part = torch.cat([inside[:, :kept], torch.zeros_like(inside[:, kept:])], 1)
            back = model.patches_out(part.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, (2, 2))
            errors.append(float((torch.pixel_shuffle(back, 16) - x).square().mean()))
    assert errors[0] < 1e-6 < 1e-2 < errors[1]
    assert 0.5 < float(inside.std()) < 2


def test_it_begins_from_another_tokenizer_as_far_as_the_two_overlap(data: Path, run: Path) -> None:
    theirs, config = load_ar_vae(run / "ar_vae.safetensors")
    ours = ArVae(replace(config, dim=config.dim + 2))
    train_ar_vae.begin_from(ours, theirs)
    assert torch.equal(ours.to_latent.weight[: config.dim], theirs.to_latent.weight)
    assert torch.equal(ours.patches_in.weight, theirs.patches_in.weight)
