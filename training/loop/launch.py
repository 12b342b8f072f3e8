"""How every trainer begins: threads, an accelerator, a seed."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from training.loop.trackers import NONE, TENSORBOARD, check_installed
from training.loop.train import LoopConfig, check_limits
from worldsim.runtime import pick_device, precision, use_threads


def launch(config: LoopConfig, *, partial: bool = False) -> Accelerator:
    """The accelerator of a run, after its threads and its seed are set.

    Raises:
        ConfigError: a number that no run can have.
        DeviceError: a precision that does not exist.
        TrackerError: a tracker that is not installed.

    Args:
        partial: whether some steps leave weights without a gradient, which a distributed launcher has to be told.
    """
    check_limits(config)  # also of trainers whose words have checks of their own
    use_threads(config.threads)
    unused = [DistributedDataParallelKwargs(find_unused_parameters=True)] if partial else []
    check_installed(config.tracker)
    log_with = None if config.tracker in (TENSORBOARD, NONE) else config.tracker
    asked = precision(config.precision, pick_device("auto"))
    accelerator = Accelerator(
        mixed_precision={"fp32": "no", "bf16": "bf16"}[asked], kwargs_handlers=unused, log_with=log_with
    )
    torch.manual_seed(config.seed)
    return accelerator
