"""The paper's autoencoder is loaded whole, from safetensors alone, frozen, with its own scale and shift."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

diffusers = pytest.importorskip("diffusers")

from worldsim.models.autoencoders.sd3 import Sd3Autoencoder, Sd3Error  # noqa: E402

SCALE, SHIFT = 1.5305, 0.0609  # stable-diffusion-3-medium's own


def small_vae(**changes: Any) -> Any:
    torch.manual_seed(0)
    shape = {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (8, 8, 8, 8),
        "latent_channels": 16,
        "norm_num_groups": 4,
        "scaling_factor": SCALE,
        "shift_factor": SHIFT,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    }
    return diffusers.AutoencoderKL(**(shape | changes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("sd3")
    small_vae().save_pretrained(path, safe_serialization=True)
    return path


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    return torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_a_saved_folder_gives_the_network_back(folder: Path, frames: torch.Tensor) -> None:
    ours, theirs = Sd3Autoencoder.load(folder), small_vae().eval()
    with torch.no_grad():
        mean = theirs.encode(frames).latent_dist.mean
        latents = ours.encode(frames)
        assert latents.shape == (2, 16, 4, 6)
        torch.testing.assert_close(latents, (mean - SHIFT) * SCALE, rtol=0, atol=1e-5)
        pictures = ours.decode(latents)
        assert pictures.shape == frames.shape
        torch.testing.assert_close(pictures, theirs.decode(latents / SCALE + SHIFT).sample, rtol=0, atol=1e-5)
    assert (ours.channels, ours.downsampling) == (16, 8)


def test_a_network_without_a_shift_has_none(tmp_path: Path, frames: torch.Tensor) -> None:
    small_vae(shift_factor=None, latent_channels=4).save_pretrained(tmp_path)
    ours = Sd3Autoencoder.load(str(tmp_path))
    with torch.no_grad():
        assert torch.equal(ours.encode(frames), ours.vae.encode(frames).latent_dist.mean * SCALE)
    assert ours.channels == 4


def test_a_pipeline_keeps_it_in_its_subfolder(tmp_path: Path, folder: Path, frames: torch.Tensor) -> None:
    small_vae().save_pretrained(tmp_path / "vae")
    with torch.no_grad():
        assert torch.equal(
            Sd3Autoencoder.load(tmp_path).encode(frames), Sd3Autoencoder.load(folder).encode(frames)
        )


def test_it_stays_frozen(folder: Path, frames: torch.Tensor) -> None:
    ours = Sd3Autoencoder.load(folder)
    torch.nn.Sequential(ours).train()
    assert not any(module.training for module in ours.modules())
    assert not any(parameter.requires_grad for parameter in ours.parameters())
    shown = frames.clone().requires_grad_()
    ours.decode(ours.encode(shown)).sum().backward()  # a loss on pictures reaches what made the latents
    assert shown.grad is not None and shown.grad.abs().sum() > 0


def test_half_precision_weights_keep_the_frames_type(folder: Path, frames: torch.Tensor) -> None:
    ours = Sd3Autoencoder.load(folder, dtype=torch.bfloat16)
    with torch.no_grad():
        latents = ours.encode(frames)
        assert ours.vae.dtype == torch.bfloat16
        assert latents.dtype == ours.decode(latents).dtype == torch.float32


def test_a_size_that_does_not_divide_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        Sd3Autoencoder.load(folder).encode(torch.zeros(1, 3, 30, 32))


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    for source in (tmp_path / "none", str(tmp_path / "none"), "./none", "none"):
        with pytest.raises(Sd3Error, match="no folder"):
            Sd3Autoencoder.load(source)
    with pytest.raises(Sd3Error, match=r"no config\.json"):
        Sd3Autoencoder.load(tmp_path)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    small_vae().save_pretrained(tmp_path, safe_serialization=False)
    assert list(tmp_path.glob("*.bin"))
    with pytest.raises(Sd3Error, match="no safetensors weights"):
        Sd3Autoencoder.load(tmp_path)
    # a stranger's safetensors file beside it does not open it either
    (tmp_path / "other.safetensors").write_bytes(b"")
    with pytest.raises(Sd3Error, match="cannot load an autoencoder"):
        Sd3Autoencoder.load(tmp_path)


def test_weights_that_do_not_fill_the_network_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    small_vae().save_pretrained(tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    del weights["decoder.conv_out.bias"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(Sd3Error, match=r"decoder\.conv_out\.bias"):
        Sd3Autoencoder.load(tmp_path)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(Sd3Error, match="cannot load an autoencoder"):
        Sd3Autoencoder.load(tmp_path)


def test_a_hub_id_that_is_not_at_hand_asks_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(Sd3Error, match="cannot load an autoencoder from worldsim/absent"):
        Sd3Autoencoder.load("worldsim/absent", local_files_only=True)


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(Sd3Error, match=r"worldsim\[sd3\]"):
        Sd3Autoencoder.load(folder)
