"""FID, FVD and LPIPS with small stand-in networks; the published weights are not at hand."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from worldsim.metrics import fid_fvd
from worldsim.metrics.fid_fvd import NetworkError, fid, fvd, i3d, inception, lpips, lpips_network
from worldsim.metrics.frechet import fit, frechet_distance


class Means(nn.Module):
    """Mean and largest value of each colour: uint8 (n, 3, H, W) to (n, 6)."""

    num_features = 6

    def forward(self, x: Tensor) -> Tensor:
        flat = x.float().flatten(2) / 255
        return torch.cat([flat.mean(2), flat.amax(2)], 1)


class Video(nn.Module):
    """Called like an I3D; means over time and picture in the first and the second half of a clip."""

    def forward(self, x: Tensor, rescale: bool, resize: bool, return_features: bool) -> Tensor:
        if rescale:
            x = x / 255
        half = x.shape[2] // 2
        return torch.cat([x[:, :, :half].mean((2, 3, 4)), x[:, :, half:].mean((2, 3, 4))], 1)


def _frames(low: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(low).integers(low, low + 60, (*shape, 8, 8, 3)).astype(np.uint8)


def test_fid_is_the_frechet_distance_of_the_networks_features() -> None:
    """torchmetrics' arithmetic and ours, of the same features in more than one batch."""
    true, dreamt = _frames(0, 40), _frames(90, 50)
    features = [fit(Means()(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()) for x in (true, dreamt)]
    assert fid(true, dreamt, Means()) == pytest.approx(frechet_distance(*features), rel=1e-3)


def test_fvd_runs_a_program_whose_digest_is_named(tmp_path: Path) -> None:
    file = tmp_path / "video.pt"
    torch.jit.script(Video()).save(str(file))
    network = i3d(file, hashlib.sha256(file.read_bytes()).hexdigest())
    true, dreamt = _frames(0, 40, 4), _frames(90, 40, 4)
    assert fvd(true, true, network) == pytest.approx(0, abs=1e-9)
    means = [
        np.concatenate([x[:, :2].mean((1, 2, 3)), x[:, 2:].mean((1, 2, 3))], 1) / 255 for x in (true, dreamt)
    ]
    assert fvd(true, dreamt, network) == pytest.approx(
        frechet_distance(fit(means[0]), fit(means[1])), rel=1e-4
    )


def test_a_program_with_another_digest_is_not_loaded(tmp_path: Path) -> None:
    file = tmp_path / "video.pt"
    file.write_bytes(b"something else")
    with pytest.raises(NetworkError, match="not the one you trust"):
        i3d(file, "0" * 64)
    with pytest.raises(NetworkError, match="no TorchScript"):
        i3d(file, hashlib.sha256(b"something else").hexdigest())
    with pytest.raises(NetworkError, match="found no file"):
        i3d(tmp_path / "missing.pt", "0" * 64)


def test_lpips_gives_a_number_for_each_pair() -> None:
    class Distance(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return (a - b).abs().mean((1, 2, 3), keepdim=True)

    true = np.zeros((40, 8, 8, 3), np.uint8)
    dreamt = true.copy()
    dreamt[35] = 255
    found = lpips(true, dreamt, Distance())
    assert found.shape == (40,) and found[35] == pytest.approx(2) and np.delete(found, 35).max() == 0


def test_what_is_not_installed_is_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(fid_fvd.importlib, "import_module", missing)
    with pytest.raises(
        NetworkError, match=r"FID needs the package torch-fidelity; install .*worldsim\[metrics\]"
    ):
        inception(tmp_path / "w.pth")
    with pytest.raises(NetworkError, match="LPIPS needs the package lpips"):
        lpips_network(tmp_path / "w.pth")


def test_weights_are_read_as_tensors_alone(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, (f"open({str(tmp_path / 'sprung')!r}, 'w')",))

    trap, text, good = tmp_path / "trap.pth", tmp_path / "text.safetensors", tmp_path / "good.pth"
    trap.write_bytes(pickle.dumps({"a": Trap()}))
    text.write_text("no tensors")
    torch.save({"a": torch.ones(2)}, good)
    for file in (trap, text):
        with pytest.raises(NetworkError, match="tensors alone"):
            fid_fvd._tensors(file)
    assert not (tmp_path / "sprung").exists()
    assert torch.equal(fid_fvd._tensors(good)["a"], torch.ones(2))
    with pytest.raises(NetworkError, match="no weights at"):
        fid_fvd._tensors(tmp_path / "none.pth")


def test_an_lpips_backbone_comes_from_torchvisions_names(tmp_path: Path) -> None:
    """Where the extra is installed: random AlexNet weights land in their slices."""
    try:
        import lpips as _  # noqa: F401
        import torchvision
    except (ImportError, RuntimeError):  # absent, or a torchvision of another torch
        pytest.skip("the extra metrics is not installed")

    tensors = torchvision.models.alexnet(weights=None).state_dict()
    torch.save(tensors, tmp_path / "alexnet.pth")
    network = lpips_network(tmp_path / "alexnet.pth")
    slices = network.net.state_dict()
    assert torch.equal(slices["slice2.3.weight"], tensors["features.3.weight"])
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    assert lpips(frames, frames, network).max() == 0 < lpips(frames, frames[::-1].copy(), network).min()
    with pytest.raises(NetworkError, match="no vgg backbone"):
        lpips_network(tmp_path / "alexnet.pth", "vgg")
