"""The one crossing between pictures outside the model and tensors inside it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F


def to_tensor(frames: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """uint8 (N, H, W, 3) to float32 (N, 3, H, W) in [-1, 1]."""
    x = torch.from_numpy(np.ascontiguousarray(frames)).to(device)
    return x.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def to_uint8(x: Tensor) -> np.ndarray:
    """float (N, 3, H, W), about [-1, 1], to uint8 (N, H, W, 3)."""
    y = ((x.float().clamp(-1, 1) + 1.0) * 127.5).round().to(torch.uint8)
    return y.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def averaged(frames: np.ndarray, size: int) -> NDArray[np.float32]:
    """uint8 (N, H, W, 3) to float32 (N, size, size, 3), 0 to 255: the mean of every square of pixels."""
    n, each = len(frames), frames.shape[1] // size
    if each == 1:
        return frames.astype(np.float32)
    return frames.reshape(n, size, each, size, each, 3).mean((2, 4), dtype=np.float32)


def smaller(frames: np.ndarray, size: int) -> np.ndarray:
    """:func:`averaged` as pictures uint8; as they are where they fit."""
    return frames if frames.shape[1] == size else np.rint(averaged(frames, size)).astype(np.uint8)


def larger(x: Tensor, size: int) -> Tensor:
    """float (N, 3, H, W) to (N, 3, size, size), bilinearly; as it is where it fits."""
    return x if x.shape[-1] == size else F.interpolate(x, (size, size), mode="bilinear", align_corners=False)


def mixed(first: np.ndarray, second: np.ndarray, share: NDArray[np.float32]) -> np.ndarray:
    """Pictures uint8, ``second`` (H, W, 3) by a share (h, w) in [0, 1] of it and ``first`` for the rest.

    H is a multiple of h; a smaller ``first`` is enlarged.
    """
    if len(first) != len(second):
        first = to_uint8(larger(to_tensor(first[None]), len(second)))[0]
    each = len(second) // len(share)
    part = share.repeat(each, 0).repeat(each, 1)[..., None]
    return np.rint(first + (second.astype(np.float32) - first) * part).astype(np.uint8)
