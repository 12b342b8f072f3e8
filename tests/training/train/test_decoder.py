"""A decoder is sharpened over latents that stay as they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.small_ar_diffusion import small_ar_diffusion
from tests.helpers.small_run import record
from tests.helpers.small_variant import awake
from training import collect_walks
from training.data.episodes import DataError, latents_of, open_episodes
from training.data.walks import read
from training.imagination import latents as imagined_latents
from training.objectives.decoding import PERIOD, Decoding, DecodingConfig, pattern, weave, window
from training.objectives.patch_discriminator import FeatureDiscriminator, hinge
from training.train import decoder as train_decoder
from training.train.video_on_walks import FACTS
from worldsim import checkpoint
from worldsim.metrics.networks import lpips
from worldsim.metrics.networks.weights import NetworkError
from worldsim.models.ar_diffusion import ArDiffusion
from worldsim.models.autoencoders.ar_vae import ArVae
from worldsim.models.autoencoders.conv import enlarged


def test_a_sharpened_decoder_is_better_and_nothing_else_changes(
    small: str, walks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        f"checkpoint={small}", f"walks={walks}", f"out={tmp_path}", "held_out_walks=1", "steps=60", "seconds=1e9",
        "batch=8", "decoding.lpips=0", "decoding.noise=0", "decoding.blur=0", "decoding.head_start=1000",
        "optimizer.warmup=5", "optimizer.lr=2e-3", "optimizer.ema=0.8", "threads=1", "precision=fp32",
    ]  # fmt: skip
    assert train_decoder.main(words) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["steps"] == 60
    assert told["after"]["psnr"] > told["before"]["psnr"] + 1
    before = checkpoint.load(small).model
    after = checkpoint.load(str(tmp_path / "checkpoint")).model
    assert latents_of(before.autoencoder) == latents_of(after.autoencoder)
    old, new = before.state_dict(), after.state_dict()
    changed = {name for name, value in new.items() if not torch.equal(value, old[name])}
    assert changed
    assert all(name.startswith("autoencoder.decoder.") for name in changed)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("data"), steps=12)


def _tokenizing(folder: Path, data: Path, window: int) -> str:
    model = small_ar_diffusion(action_dim=7)
    vae = replace(model.config.autoencoder, window=window, linear=True)
    model = ArDiffusion(replace(model.config, autoencoder=vae))
    meta = open_episodes(data)[0].meta
    checkpoint.save(folder, model, {name: meta[name] for name in FACTS})
    return str(folder)


TOKENS = [
    "steps=40", "seconds=1e9", "batch=8", "decoding.lpips=0", "decoding.noise=0.1", "decoding.head_start=30",
    "optimizer.warmup=5", "optimizer.lr=2e-3", "optimizer.ema=0.8", "threads=1", "precision=fp32",
]  # fmt: skip


def test_a_tokenizers_decoder_is_sharpened_and_another_run_takes_it(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = _tokenizing(tmp_path / "given", data, window=1)
    words = [f"checkpoint={given}", f"data={data}"]
    assert train_decoder.main([*words, f"out={tmp_path / 'a'}", *TOKENS]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["after"]["psnr"] > told["before"]["psnr"] + 0.5
    old, new = (checkpoint.load_ar_diffusion(str(p)).model for p in (given, tmp_path / "a" / "checkpoint"))
    assert latents_of(old.autoencoder) == latents_of(new.autoencoder)
    before, after = old.state_dict(), new.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith(tuple(f"autoencoder.{p}" for p in ArVae.DRAWING)) for name in changed)
    begun = [f"out={tmp_path / 'b'}", f"init={tmp_path / 'a' / 'checkpoint'}", *TOKENS]
    assert train_decoder.main([*words, *begun, "steps=1"]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert again["before"]["psnr"] == pytest.approx(told["after"]["psnr"], abs=1e-3)
    assert train_decoder.main([*words, *begun, "seconds=0"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == told
    taken = checkpoint.load_ar_diffusion(str(tmp_path / "b" / "checkpoint"))
    assert taken.description.training["decoder"]["steps"] == 40
    assert all(torch.equal(value, after[name]) for name, value in taken.model.state_dict().items())


def test_decoders_that_cannot_be_sharpened_are_refused(
    small: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = _tokenizing(tmp_path / "given", data, window=3)
    assert train_decoder.main([f"checkpoint={given}", f"data={data}", f"out={tmp_path}"]) == 2
    assert "found one with a window" in capsys.readouterr().err
    assert train_decoder.main([f"checkpoint={small}", f"data={data}", f"out={tmp_path}"]) == 2
    assert "say walks=DIR" in capsys.readouterr().err
    assert train_decoder.main([f"checkpoint={given}", f"walks={data}", f"out={tmp_path}"]) == 2
    assert "found one with a window" in capsys.readouterr().err
    alone = _tokenizing(tmp_path / "alone", data, window=1)
    assert train_decoder.main([f"checkpoint={alone}", f"walks={data}", f"out={tmp_path}"]) == 2
    assert "say data=DIR" in capsys.readouterr().err
    words = [f"checkpoint={alone}", f"data={data}", f"out={tmp_path}", "decoding.lpips=0"]
    assert train_decoder.main([*words, "seconds=0"]) == 2
    assert "seconds: expected more than 0" in capsys.readouterr().err
    words = [f"checkpoint={alone}", f"data={data}", f"out={tmp_path}", f"init={small}"]
    assert train_decoder.main(words) == 2
    assert "found another autoencoder" in capsys.readouterr().err


def test_each_weight_of_a_tokenizer_either_encodes_or_draws() -> None:
    torch.manual_seed(0)
    model = ArVae(replace(small_ar_diffusion().config.autoencoder, linear=True)).requires_grad_(False)
    awake(model)
    mark, frames = latents_of(model), torch.rand(2, 3, 32, 32)
    z = model.encode(frames)
    shown = model.decode(z[:, None])
    for name, weight in model.named_parameters():
        if name.startswith(ArVae.DRAWING):
            weight.add_(0.1)
    assert torch.equal(model.encode(frames), z) and latents_of(model) == mark
    assert not torch.allclose(model.decode(z[:, None]), shown)
    drawn = model.decode(z[:, None])
    for name, weight in model.named_parameters():
        if not name.startswith(ArVae.DRAWING):
            weight.add_(0.1)
    assert torch.equal(model.decode(z[:, None]), drawn) and latents_of(model) != mark


def test_walks_of_twice_the_side_give_the_decoder_a_second_head(
    small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = [f"checkpoint={small}", f"out={tmp_path / 'walks'}", "episodes=6", "steps=24", "size=64"]
    assert collect_walks.main(large) == 0
    words = [
        f"checkpoint={small}", f"walks={tmp_path / 'walks'}", f"out={tmp_path}", "held_out_walks=1", "steps=40",
        "seconds=1e9", "batch=8", "decoding.lpips=0", "decoding.noise=0", "decoding.blur=0", "optimizer.warmup=5",
        "optimizer.lr=2e-3", "optimizer.ema=0.8", "threads=1", "precision=fp32",
    ]  # fmt: skip
    assert train_decoder.main(words) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["after"]["ssim"] > told["before"]["ssim"] + 0.05
    loaded = checkpoint.load(str(tmp_path / "checkpoint"))
    z = torch.randn(1, 8, 4, 4)
    assert loaded.model.autoencoder.decode_for(z, 64).shape == (1, 3, 64, 64)
    torch.testing.assert_close(loaded.model.autoencoder.decode_for(z, 32), loaded.model.autoencoder.decode(z))
    assert checkpoint.load(small).model.autoencoder.decode_for(z, 64).shape == (1, 3, 32, 32)


def test_a_second_head_goes_on_over_latents_that_were_made_up_and_leaves_small_pictures(
    small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = [f"checkpoint={small}", f"out={tmp_path / 'walks'}", "episodes=3", "steps=24", "size=64"]
    assert collect_walks.main(large) == 0
    file = tmp_path / "dreamt.npy"
    words = [f"checkpoint={small}", f"out={file}", "seeds=3", "frames=8", "stride=2", "context=6"]
    assert imagined_latents.main(words) == 0
    assert np.load(file).shape == (12, 8, 4, 4)
    words = [
        f"checkpoint={small}", f"walks={tmp_path / 'walks'}", f"out={tmp_path}", f"dreamt={file}", "held_out_walks=1",
        "steps=6", "seconds=1e9", "batch=4", "decoding.lpips=0", "decoding.weave=200", "decoding.second_only=true",
        "decoding.head_start=2", "optimizer.warmup=1", "optimizer.lr=2e-3", "threads=1", "precision=fp32",
    ]  # fmt: skip
    assert train_decoder.main(words) == 0
    old, new = (checkpoint.load(path).model.autoencoder for path in (small, str(tmp_path / "checkpoint")))
    z = torch.randn(2, 8, 4, 4)
    assert torch.equal(new.decode(z), old.decode(z))
    below, above = new.decode_both(z)
    assert not torch.equal(above, enlarged(below))
    np.save(file, np.zeros((3, 8, 5, 5), np.float16))
    with pytest.raises(DataError, match=r"expected latents of \(N, 8, 4, 4\), found \(3, 8, 5, 5\)"):
        train_decoder.main.__wrapped__(words)  # type: ignore[attr-defined]


def test_a_weave_is_what_every_square_repeats_and_an_edge_is_none() -> None:
    x = torch.zeros(1, 3, 64, 64)
    assert weave(x + 0.7) == 0
    dots = x.clone()
    dots[..., ::PERIOD, ::PERIOD] = 0.1
    edge = x.clone()
    edge[..., 30:] = 0.1
    noise = 0.03 * torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert weave(dots) > 10 * max(weave(edge), weave(noise)) > 0
    half = x.clone()
    half[..., :32, :32] = dots[..., :32, :32]  # one neighbourhood is enough
    assert weave(half) > 3 * weave(edge)


def test_latents_are_disturbed_by_no_more_than_is_asked(small: str) -> None:
    autoencoder = checkpoint.load(small).model.autoencoder
    module = Decoding(autoencoder, DecodingConfig(noise=0.2, blur=0.5), 32)
    z, noise = torch.randn(2, 4, 16, 4, 4).unbind()
    torch.testing.assert_close(module.disturbed(z, noise, torch.zeros(4, 2)), z)
    only_noise = module.disturbed(z, noise, torch.tensor([[0.0, 1.0]]).expand(4, 2))
    torch.testing.assert_close(only_noise, z + 0.2 * noise)
    flat = torch.ones_like(z)
    torch.testing.assert_close(module.disturbed(flat, noise, torch.tensor([[1.0, 0.0]]).expand(4, 2)), flat)


def test_walks_of_another_encoder_are_refused(small: str, walks: Path, tmp_path: Path) -> None:
    loaded = checkpoint.load(small)
    with torch.no_grad():
        for parameter in loaded.model.autoencoder.encoder.parameters():
            parameter.add_(0.1)
    d = loaded.description
    facts = {k: getattr(d, k) for k in ("env_id", "family", "backend", "action_spec")}
    checkpoint.save(tmp_path / "other", loaded.model, facts)
    with pytest.raises(DataError, match="another autoencoder"):
        train_decoder.main.__wrapped__(  # type: ignore[attr-defined]
            [
                f"checkpoint={tmp_path / 'other'}",
                f"walks={walks}",
                f"out={tmp_path / 'out'}",
                "decoding.lpips=0",
            ]
        )


def test_frames_of_walks_come_with_their_latents(small: str, walks: Path) -> None:
    shards = read(walks)
    source = train_decoder.Pictures(shards, [(0, 0), (1, 0)])
    x, z = source.batch(6, np.random.default_rng(0), torch.device("cpu"))
    autoencoder = checkpoint.load(small).model.autoencoder
    with torch.inference_mode():
        torch.testing.assert_close(autoencoder.encode(x), z, atol=0.1, rtol=0)


def test_a_window_lies_anywhere_in_a_picture_and_nowhere_else() -> None:
    x = torch.arange(100.0).view(1, 1, 10, 10)
    assert window(x, 7, (0.0, 0.0))[0, 0, 0, 0] == 0
    assert window(x, 7, (0.999, 0.999))[0, 0, -1, -1] == 99
    assert window(x, 7, (0.5, 0.0)).shape == (1, 1, 7, 7)
    assert window(x, 12, (0.999, 0.999)).shape == x.shape


def test_features_are_judged_place_by_place_and_each_side_learns_alone() -> None:
    discriminator = FeatureDiscriminator([4, 8])
    real = [torch.randn(2, 4, 8, 8), torch.randn(2, 8, 4, 4)]
    made = [torch.randn_like(x, requires_grad=True) for x in real]
    assert discriminator(real).shape == (2, 2, 8, 8)
    generator_loss, discriminator_loss = hinge(discriminator, real, made)
    generator_loss.backward(retain_graph=True)
    assert all(x.grad is not None for x in made)
    assert all(p.grad is None for p in discriminator.parameters())
    for x in made:
        x.grad = None
    discriminator_loss.backward()
    assert all(x.grad is None for x in made)
    assert all(p.grad is not None for p in discriminator.parameters())


@pytest.mark.parametrize("backbone", ["alex", "vgg"])
def test_a_perceptual_decoder_learns_with_all_its_judges(
    small: str, walks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], backbone: str
) -> None:
    try:
        lpips.load(backbone)
    except NetworkError as absent:
        pytest.skip(str(absent))
    words = [
        f"checkpoint={small}", f"walks={walks}", f"out={tmp_path}", "held_out_walks=1", "steps=12", "seconds=1e9",
        "batch=4", f"decoding.backbone={backbone}", "decoding.head_start=2", "threads=1", "precision=fp32",
        "optimizer.warmup=2", "log_every=1",
    ]  # fmt: skip
    assert train_decoder.main(words) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert lines[-1]["after"]["lpips"] < lines[-1]["before"]["lpips"] + 0.05


def test_a_weave_is_a_pattern_and_one_edge_is_none() -> None:
    weave = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(16, 16).expand(1, 3, 32, 32)
    edge = torch.zeros(1, 3, 32, 32)
    edge[..., 13] = 1.0
    assert pattern(weave, 8) == 1
    assert pattern(edge, 8) == pytest.approx(1 / 32)
