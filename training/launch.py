"""How every trainer begins: threads, an accelerator, a seed."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from training.loop import LoopConfig
from worldsim.config import ConfigError

PRECISIONS = ("auto", "fp32", "bf16")


def launch(config: LoopConfig, *, partial: bool = False) -> Accelerator:
    """The accelerator of a run, after its threads and its seed are set.

    Raises:
        ConfigError: a precision that does not exist.

    Args:
        partial: whether some steps leave weights without a gradient, which a distributed launcher has to be told.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    unused = [DistributedDataParallelKwargs(find_unused_parameters=True)] if partial else []
    accelerator = Accelerator(mixed_precision=precision(config.precision), kwargs_handlers=unused)
    torch.manual_seed(config.seed)
    return accelerator


def precision(asked: str = "auto") -> str:
    """What Accelerate is told: ``no`` for ``fp32``, ``bf16``, and for ``auto`` the latter where the hardware multiplies
    it faster (a GPU, AVX512-BF16, AMX).

    Raises:
        ConfigError: something else was asked for.
    """
    if asked not in PRECISIONS:
        raise ConfigError(f"precision: expected one of {', '.join(PRECISIONS)}, found {asked!r}")
    if asked != "auto":
        return "no" if asked == "fp32" else asked
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "no"
    flags: set[str] = set()
    with contextlib.suppress(OSError):
        flags = set(Path("/proc/cpuinfo").read_text().split())
    return "bf16" if flags & {"avx512_bf16", "amx_bf16"} else "no"
