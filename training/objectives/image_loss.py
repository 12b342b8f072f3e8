"""How far a picture is from the true one, as training sees it: L1 and structural similarity."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.image import structural_similarity_index_measure

from worldsim.metrics.ssim import WINDOW


def image_loss(found: Tensor, true: Tensor, ssim_weight: float) -> tuple[Tensor, Tensor, Tensor]:
    """L1 + ``ssim_weight`` (1 - SSIM) of frames (N, 3, H, W) in [-1, 1], and both parts: loss, L1, SSIM."""
    # Not in bf16, where what is left of squares of means is mostly roundings: 0.62 for an SSIM of 0.83.
    with torch.autocast(found.device.type, enabled=False):
        found, true = found.float(), true.float()
        l1 = F.l1_loss(found, true)
        # From 0 to 1: around a grey of 0 the similarity of brightness would be a comparison of signs.
        similar = structural_similarity_index_measure(
            found / 2 + 0.5, true / 2 + 0.5, gaussian_kernel=False, kernel_size=WINDOW, data_range=(0.0, 1.0)
        )
    assert isinstance(similar, Tensor)
    return l1 + ssim_weight * (1 - similar), l1, similar
