"""FID, FVD and LPIPS, whose networks are not ours: from files that you have, nothing is downloaded.

A network is loaded once and handed to its metric:

* FID: torchmetrics over torch-fidelity's Inception v3 (extra ``metrics``); weights
  ``weights-inception-2015-12-05-6726825d.pth`` of torch-fidelity's releases.
* LPIPS: the package ``lpips`` (extra ``metrics``), which brings its linear layers; the backbone is torchvision's
  AlexNet, VGG16 or SqueezeNet 1.1 of ImageNet.
* FVD: an I3D of Kinetics-400 as TorchScript, called as in StyleGAN-V's evaluation (``i3d_torchscript.pt``).

Weights are read as tensors alone (safetensors, or PyTorch's ``weights_only``). A TorchScript file is a *program* that
PyTorch runs: one is loaded only where its SHA-256 is the one you name, and to name it is to trust it.

The real weights were not at hand where this was written: the code is tested with small networks and random weights,
and no number here is a published FID, FVD or LPIPS until you give it yours. Small samples bias FID and FVD upwards:
report n. The distance that needs no file is LFD (``worldsim.metrics.frechet``).
"""

from __future__ import annotations

import hashlib
import importlib
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from worldsim.frames import to_tensor
from worldsim.metrics.frechet import fit, frechet_distance

BATCH = 32
Frames = NDArray[np.uint8]
Features = Callable[[Tensor], Tensor]
BACKBONES = ("alex", "vgg", "squeeze")


class NetworkError(ValueError):
    """A network that is not installed, not on disk, or not what was named."""


def inception(weights: Path) -> nn.Module:
    """FID's Inception v3: uint8 (n, 3, H, W) to float (n, 2048).

    Raises:
        NetworkError: torch-fidelity is missing, or the file is, or holds other tensors.
    """
    _need("torch_fidelity", "FID")
    from torchmetrics.image.fid import FrechetInceptionDistance

    tensors = _tensors(weights)
    with tempfile.TemporaryDirectory() as folder:
        # torch-fidelity unpickles what it is given: it gets a copy made here, of tensors alone
        copy = Path(folder) / "inception.pth"
        torch.save(tensors, copy)
        try:
            metric = FrechetInceptionDistance(feature=2048, feature_extractor_weights_path=str(copy))
        except RuntimeError:
            raise NetworkError(
                f"{weights} holds no Inception v3 of torch-fidelity; give weights-inception-2015-12-05-6726825d.pth"
            ) from None
    return metric.inception


@torch.inference_mode()
def fid(true: Frames, dreamt: Frames, network: nn.Module) -> float:
    """Fréchet Inception distance of frames uint8 (n, H, W, 3), n >= 2 each; ``network`` is :func:`inception`'s."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=network, input_img_size=(3, *true.shape[1:3]))
    for frames, real in ((true, True), (dreamt, False)):
        for i in range(0, len(frames), BATCH):
            batch = torch.from_numpy(np.ascontiguousarray(frames[i : i + BATCH])).permute(0, 3, 1, 2)
            metric.update(batch, real=real)
    return float(metric.compute())


def i3d(program: Path, sha256: str) -> Features:
    """FVD's I3D from a TorchScript file: float clips (n, 3, T, H, W) in 0..255 to features (n, D).

    Args:
        program: the file. What it holds is run.
        sha256: its digest, 64 hex digits, from whom you trust.

    Raises:
        NetworkError: no such file, another digest, or no TorchScript.
    """
    if not program.is_file():
        raise NetworkError(
            f"FVD needs an I3D as TorchScript and found no file {program}; give the path of yours"
        )
    found = hashlib.sha256(program.read_bytes()).hexdigest()
    if found != sha256.lower():
        raise NetworkError(
            f"{program} is a program and not the one you trust: expected sha256 {sha256}, found {found}"
        )
    try:
        network = torch.jit.load(str(program), map_location="cpu").eval()
    except RuntimeError:
        raise NetworkError(f"{program} holds no TorchScript; give i3d_torchscript.pt") from None

    def features(clips: Tensor) -> Tensor:
        out: Tensor = network(clips, rescale=True, resize=True, return_features=True)
        return out

    return features


@torch.inference_mode()
def fvd(true: Frames, dreamt: Frames, network: Features) -> float:
    """Fréchet video distance of clips uint8 (n, T, H, W, 3), n >= 2 each; ``network`` is :func:`i3d`'s (T >= 10)."""

    def features(clips: Frames) -> Any:
        rows = []
        for i in range(0, len(clips), BATCH):
            x = torch.from_numpy(np.ascontiguousarray(clips[i : i + BATCH])).permute(0, 4, 1, 2, 3).float()
            rows.append(network(x).double().numpy())
        return np.concatenate(rows)

    return frechet_distance(fit(features(true)), fit(features(dreamt)))


def lpips_network(weights: Path, backbone: str = "alex") -> nn.Module:
    """LPIPS v0.1: two float (n, 3, H, W) in [-1, 1] to (n, 1, 1, 1).

    Args:
        weights: torchvision's file of the backbone (alexnet, vgg16 or squeezenet1_1), or the same as safetensors.

    Raises:
        NetworkError: lpips is missing, or the file is, or holds another backbone.
    """
    if backbone not in BACKBONES:
        raise NetworkError(f"expected a backbone of {', '.join(BACKBONES)}, found {backbone!r}")
    package = _need("lpips", "LPIPS")
    tensors = _tensors(weights)
    network: nn.Module = package.LPIPS(net=backbone, pnet_rand=True, verbose=False)
    slices: Any = network.net
    # "slice2.3.weight" here is "features.3.weight" there
    names = {name: "features." + name.split(".", 1)[1] for name in slices.state_dict()}
    try:
        slices.load_state_dict({name: tensors[source] for name, source in names.items()})
    except (KeyError, RuntimeError):
        raise NetworkError(
            f"{weights} holds no {backbone} backbone; give torchvision's ImageNet weights of it"
        ) from None
    return network.eval()


@torch.inference_mode()
def lpips(true: Frames, dreamt: Frames, network: nn.Module) -> NDArray[np.float64]:
    """Learned perceptual distance of each pair of frames uint8 (n, H, W, 3): (n,), 0 for equal ones."""
    if true.shape != dreamt.shape:
        raise NetworkError(f"expected frames of one shape, found {true.shape} and {dreamt.shape}")
    parts = [
        network(to_tensor(true[i : i + BATCH]), to_tensor(dreamt[i : i + BATCH])).flatten()
        for i in range(0, len(true), BATCH)
    ]
    return torch.cat(parts).double().numpy()


def _need(package: str, metric: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError:
        raise NetworkError(
            f"{metric} needs the package {package.replace('_', '-')}; install it with pip install 'worldsim[metrics]'"
        ) from None
    except RuntimeError as error:  # torchvision, where it was built for another torch
        raise NetworkError(
            f"{metric} needs {package.replace('_', '-')}, which does not load here ({error}); "
            "install the torchvision that was built for the torch you have"
        ) from None


def _tensors(file: Path) -> dict[str, Tensor]:
    """A state dict from safetensors or a PyTorch file, of tensors alone."""
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        found = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise NetworkError(f"no weights at {file}; give the path of the file you have") from None
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise NetworkError(
            f"{file} is no file of tensors alone, which is all that is read; give a state dict"
        )
    return found
