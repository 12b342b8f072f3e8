"""How every trainer begins: threads, an accelerator, a seed."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from training.loop import LoopConfig


def launch(config: LoopConfig, *, partial: bool = False) -> Accelerator:
    """The accelerator of a run, after its threads and its seed are set.

    Args:
        partial: whether some steps leave weights without a gradient, which a distributed launcher has to be told.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    unused = [DistributedDataParallelKwargs(find_unused_parameters=True)] if partial else []
    accelerator = Accelerator(mixed_precision=precision(), kwargs_handlers=unused)
    torch.manual_seed(config.seed)
    return accelerator


def precision(device: str = "auto") -> str:
    """``bf16`` where the hardware multiplies it faster than fp32 (a GPU, AVX512-BF16, AMX), otherwise ``no``."""
    if device != "cpu" and torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "no"
    flags: set[str] = set()
    with contextlib.suppress(OSError):
        flags = set(Path("/proc/cpuinfo").read_text().split())
    return "bf16" if flags & {"avx512_bf16", "amx_bf16"} else "no"
