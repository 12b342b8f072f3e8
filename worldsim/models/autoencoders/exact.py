"""Pixels are made in fp32, also where a training computes in bf16."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def exactly(x: Tensor) -> AbstractContextManager[None]:
    """What is computed in fp32 whatever the rest is: in bf16 neighbouring shades of a bright picture are one number."""
    kind = x.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()  # nothing to leave, nor for an exporter to stumble over
