"""Pixels are made in fp32, also where a training computes in bf16."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def exactly(x: Tensor) -> AbstractContextManager[None]:
    """What is computed in fp32 whatever the rest is: in bf16 neighbouring shades of a bright picture are one number."""
    if not torch.amp.is_autocast_available(x.device.type):  # of shapes alone, for one
        return nullcontext()
    return torch.autocast(x.device.type, enabled=False)
