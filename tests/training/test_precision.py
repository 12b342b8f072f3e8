"""Every trainer runs in bf16, whatever the hardware of the tests prefers; the weights stay in single precision."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.helpers.small_run import SMALL_AR_VAE, SMALL_AUTOENCODER, SMALL_DENOISER, SMALL_VIDEO, record
from training import (
    collect_walks,
    train_ar_diffusion,
    train_ar_vae,
    train_autoencoder,
    train_denoiser,
    train_generator,
    train_odometry,
    train_pixels,
    train_reader,
    train_video,
)
from worldsim.runtime import DeviceError, precision

AR = ["model.denoiser.width=32", "model.denoiser.depth=1", "model.denoiser.heads=2"]
GENERATOR = ["generator.width=32", "generator.depth=1", "generator.heads=2", "clip.length=4", "clip.batch=2"]


def test_every_trainer_runs_in_bf16(tmp_path: Path) -> None:
    data = record(tmp_path / "data", steps=44)

    def trained(trainer: object, out: str, *words: str) -> Path:
        common = [f"data={data}", f"held_out={data}", f"out={tmp_path / out}", "precision=bf16"]
        assert trainer.main([*common, "steps=3", "seconds=1e9", *words]) == 0  # type: ignore[attr-defined]
        return tmp_path / out

    pixels = trained(train_autoencoder, "ae", "batch=4", *SMALL_AUTOENCODER) / "autoencoder.safetensors"
    over = f"autoencoder={pixels}"
    model = trained(train_denoiser, "dream", over, *SMALL_DENOISER) / "checkpoint"
    checkpoint = f"checkpoint={model}"
    trained(train_reader, "reader", checkpoint, "batch=2")
    trained(train_odometry, "odometry", checkpoint, "batch=2")
    few = ["batch=2", "walks=2", "head_start=1", "dreams.first=1", "dreams.longest=12"]
    remembering = f"checkpoint={trained(train_pixels, 'pixels', checkpoint, *few) / 'checkpoint'}"
    walks = tmp_path / "walks"
    assert collect_walks.main([remembering, f"out={walks}", "episodes=2", "steps=12", "shard=1"]) == 0
    words = [remembering, f"walks={walks}", "compile=false", "held_out_walks=1", *GENERATOR]
    generator = trained(train_generator, "generator", *words) / "checkpoint"
    trained(train_video, "video", over, *SMALL_VIDEO)
    tokens = trained(train_ar_vae, "ar_vae", *SMALL_AR_VAE) / "ar_vae.safetensors"
    trained(train_ar_diffusion, "ar", f"autoencoder={tokens}", *AR, "batch=2")
    weights = load_file(generator / "model.safetensors")
    assert all(torch.isfinite(w).all() for w in weights.values())
    assert {w.dtype for name, w in weights.items() if name.startswith("generator.")} <= {
        torch.float32,
        torch.float16,
    }


def test_a_precision_that_does_not_exist_is_refused() -> None:
    assert precision("fp32") == "fp32" and precision("bf16") == "bf16" and precision() in ("fp32", "bf16")
    with pytest.raises(DeviceError, match="expected one of auto, fp32, bf16, found 'fp16'"):
        precision("fp16")
