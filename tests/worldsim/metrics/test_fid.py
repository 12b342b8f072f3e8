"""FID with a small stand-in network; the published weights are not at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from worldsim.metrics import fid as module
from worldsim.metrics.fid import NetworkError, fid, inception
from worldsim.metrics.frechet import fit, frechet_distance


class Means(nn.Module):
    """Mean and largest value of each colour: uint8 (n, 3, H, W) to (n, 6)."""

    num_features = 6

    def forward(self, x: Tensor) -> Tensor:
        flat = x.float().flatten(2) / 255
        return torch.cat([flat.mean(2), flat.amax(2)], 1)


def _frames(low: int, n: int) -> np.ndarray:
    return np.random.default_rng(low).integers(low, low + 60, (n, 8, 8, 3)).astype(np.uint8)


def test_fid_is_the_frechet_distance_of_the_networks_features() -> None:
    """torchmetrics' arithmetic and ours, of the same features in more than one batch."""
    true, dreamt = _frames(0, 40), _frames(90, 50)
    features = [fit(Means()(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()) for x in (true, dreamt)]
    assert fid(true, dreamt, Means()) == pytest.approx(frechet_distance(*features), rel=1e-3)


def test_what_is_not_installed_is_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(module.importlib, "import_module", missing)
    with pytest.raises(
        NetworkError, match=r"FID needs the package torch-fidelity; install .*worldsim\[metrics\]"
    ):
        inception(tmp_path / "w.pth")
