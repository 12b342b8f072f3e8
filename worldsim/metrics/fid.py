"""FID, whose Inception v3 is not ours and in no package: from the file that you have, nothing is downloaded.

torchmetrics over torch-fidelity's network (extra ``metrics``); weights
``weights-inception-2015-12-05-6726825d.pth`` of torch-fidelity's releases, read as tensors alone. They were not at hand
where this was written: the code is tested with a small network, and no number here is a published FID until you give
it yours. Small samples bias it upwards: report n. What needs no file of yours is in ``worldsim.metrics.perceptual``.
"""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from worldsim.metrics.networks.weights import NetworkError, read

BATCH = 32


def inception(weights: Path) -> nn.Module:
    """FID's Inception v3: uint8 (n, 3, H, W) to float (n, 2048).

    Raises:
        NetworkError: torch-fidelity is missing, or the file is, or holds other tensors.
    """
    try:
        importlib.import_module("torch_fidelity")
    except ImportError:
        raise NetworkError(
            "FID needs the package torch-fidelity; install it with pip install 'worldsim[metrics]'"
        ) from None
    except RuntimeError as error:  # torchvision, where it was built for another torch
        raise NetworkError(
            f"FID needs torch-fidelity, which does not load here ({error}); "
            "install the torchvision that was built for the torch you have"
        ) from None
    from torchmetrics.image.fid import FrechetInceptionDistance

    tensors = read(weights)
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
def fid(true: NDArray[np.uint8], dreamt: NDArray[np.uint8], network: nn.Module) -> float:
    """Fréchet Inception distance of frames uint8 (n, H, W, 3), n >= 2 each; ``network`` is :func:`inception`'s."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=network, input_img_size=(3, *true.shape[1:3]))
    for frames, real in ((true, True), (dreamt, False)):
        for i in range(0, len(frames), BATCH):
            batch = torch.from_numpy(np.ascontiguousarray(frames[i : i + BATCH])).permute(0, 3, 1, 2)
            metric.update(batch, real=real)
    return float(metric.compute())
