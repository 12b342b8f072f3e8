"""A widened autoencoder keeps the latents it had, and a world model over it draws what it drew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.small_run import record
from tests.worldsim.small_model import small_config, small_model
from training import train_autoencoder, train_reader
from training.dataset import open_episodes
from training.widen import over, widen
from worldsim import checkpoint
from worldsim.autoencoders.conv import ConvAutoencoder
from worldsim.checkpoint import load_autoencoder, save_autoencoder
from worldsim.config import AutoencoderConfig, ConfigError
from worldsim.frames import to_tensor
from worldsim.world_model import WorldModel

NARROW = AutoencoderConfig(8, [8, 8, 16], [8, 8, 16])
WIDE = replace(NARROW, channels=24, straight=True)


def narrow() -> ConvAutoencoder:
    torch.manual_seed(0)
    autoencoder = ConvAutoencoder(NARROW)
    autoencoder.scale.uniform_(0.5, 2.0)
    return autoencoder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("widen") / "data")


def frames(data: Path) -> Tensor:
    return to_tensor(open_episodes(data)[0].frames(0, 40))


@torch.no_grad()
def test_it_keeps_its_latents_and_shows_more(data: Path) -> None:
    old, x = narrow(), frames(data)
    new = widen(old, WIDE, x)
    z = new.encode(x)
    assert torch.equal(z[:, :8], old.encode(x))
    assert torch.allclose(z[:, 8:].std((0, 2, 3)), torch.ones(16), atol=0.01)
    blind = torch.cat([z[:, :8], torch.zeros_like(z[:, 8:])], 1)
    assert torch.allclose(new.decode(blind), old.decode(old.encode(x)), atol=1e-5)

    def error(y: Tensor) -> float:
        return float((y - x).square().mean())

    assert error(new.decode(z)) < 0.5 * error(old.decode(old.encode(x)))


def test_what_cannot_be_widened_is_refused() -> None:
    x = torch.zeros(2, 3, 32, 32)
    for config in (
        replace(WIDE, channels=8),
        replace(WIDE, straight=False),
        replace(WIDE, encoder_widths=[8, 16, 16]),
    ):
        with pytest.raises(ConfigError, match="init="):
            widen(narrow(), config, x)
    with pytest.raises(ConfigError, match="4 channels"):
        over(small_model(), ConvAutoencoder(replace(NARROW, channels=4)), replace(NARROW, channels=4))


def test_training_moves_the_new_channels_alone(data: Path, tmp_path: Path) -> None:
    save_autoencoder(tmp_path / "old.safetensors", narrow(), NARROW)
    words = [f"data={data}", f"held_out={data}", f"init={tmp_path / 'old.safetensors'}", "seconds=1e9"]
    words += ["batch=4", "threads=1", "optimizer.warmup=1", "autoencoder.channels=24", "autoencoder.straight=true"]
    words += [
        f"autoencoder.{side}_widths={getattr(NARROW, f'{side}_widths')}".replace(" ", "")
        for side in ("encoder", "decoder")
    ]
    for steps in (3, 5):  # the second goes on where the first stopped
        assert train_autoencoder.main([*words, f"out={tmp_path / 'run'}", f"steps={steps}"]) == 0
    trained, config = load_autoencoder(tmp_path / "run" / "autoencoder.safetensors")
    x = frames(data)
    begun = widen(narrow(), WIDE, x)
    assert config == WIDE
    assert torch.allclose(trained.encode(x)[:, :8], begun.encode(x)[:, :8], atol=1e-6)
    assert trained.to_latents is not None
    assert trained.to_latents.weight[8:].any() and not trained.to_latents.weight[:8].any()
    assert not torch.equal(trained.decoder[0].weight, begun.decoder[0].weight)


@torch.no_grad()
def test_a_model_over_it_draws_what_it_drew() -> None:
    model, wide_config = small_model(), replace(small_config().autoencoder, channels=20)
    autoencoder = ConvAutoencoder(wide_config)
    wide = over(model, autoencoder, wide_config)
    had = small_config().autoencoder.channels
    torch.manual_seed(1)
    z = torch.randn(2, 6, 20, *model.grid)
    poses, index = torch.randn(2, 6, 5), torch.arange(6)

    def drawn(m: WorldModel, latents: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        views = m.views(latents, poses, index, torch.ones(2, 6, dtype=torch.bool))
        guess, beside = m.read(views, poses[:, :2] + 0.1, torch.tensor([7, 8]))
        level, control = torch.full((2, 2), 0.5), torch.ones(2, 2, m.denoiser.control_dim)
        y = m.denoiser(latents[:, :2], level, control, beside=beside)
        seen = m.odometry.see(latents[:, 0])
        return guess[:, :, :had], beside[:, :, len(m.autoencoder.scale) :], y[:, :, :had], seen

    for mine, other in zip(drawn(model, z[:, :, :had]), drawn(wide, z), strict=True):
        assert torch.allclose(mine, other, atol=1e-5)
    guess, _ = wide.read(wide.views(z, poses, index, torch.ones(2, 6, dtype=torch.bool)), poses, index + 6)
    assert not guess[:, :, had:].any()


def test_reading_is_trained_over_a_widened_autoencoder(data: Path, tmp_path: Path) -> None:
    source = open_episodes(data)[0]
    config = replace(
        small_config(), action_dim=source.action_vectors().shape[1], fov=float(source.meta["fov"])
    )
    config.autoencoder = NARROW
    model = WorldModel(config)
    checkpoint.save(tmp_path / "model", model, {"action_spec": source.meta["action_spec"]})
    save_autoencoder(tmp_path / "wide.safetensors", widen(model.autoencoder, WIDE, frames(data)), WIDE)
    words = [f"data={data}", f"held_out={data}", f"checkpoint={tmp_path / 'model'}", "threads=1", "batch=4"]
    words += [f"autoencoder={tmp_path / 'wide.safetensors'}", "seconds=1e9", "steps=2", f"out={tmp_path / 'run'}"]
    assert train_reader.main(words) == 0
    trained = checkpoint.load(str(tmp_path / "run" / "checkpoint")).model
    assert trained.config.autoencoder == WIDE
    kept = trained.odometry.correct[0].weight, model.odometry.correct[0].weight
    assert torch.allclose(*kept, atol=1e-3)  # saved as half floats
