"""Where a model runs: the device, and what to say when it is not there."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


class DeviceError(ValueError):
    """A device that this machine does not have."""


def pick_device(name: str) -> torch.device:
    """``cpu``, ``cuda`` or ``auto`` (cuda where there is one).

    Raises:
        DeviceError: an unknown name, or cuda where torch sees none.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"expected --device cpu or cuda, found {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError("--device cuda was asked for, but this torch sees no CUDA device; use --device cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def hardware(device: torch.device | str = "cpu") -> str:
    """One line naming the processor that numbers were measured on."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return f"{name}, {torch.get_num_threads()} threads"
