"""Where a model runs: the device, and what to say when it is not there."""

from __future__ import annotations

import contextlib
import platform
from pathlib import Path

import torch

from worldsim.config.hardware import DEVICES, PRECISIONS


class DeviceError(ValueError):
    """A device that this machine does not have, or a precision or number of threads that does not exist."""


def use_threads(count: int) -> None:
    """Compute with so many threads; 0 leaves torch's choice.

    Raises:
        DeviceError: fewer than none.
    """
    if count < 0:
        raise DeviceError(f"threads: expected at least 0, which is torch's own choice, found {count}")
    if count:
        torch.set_num_threads(count)


def pick_device(name: str) -> torch.device:
    """``cpu``, ``cuda`` or ``auto`` (cuda where there is one).

    Raises:
        DeviceError: an unknown name, or cuda where torch sees none.
    """
    if name not in DEVICES:
        raise DeviceError(f"expected --device cpu or cuda, found {name!r}; this machine has {_present()}")
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError(f"--device cuda was asked for, but {_no_cuda()}; use --device cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def why_there(device: torch.device | str) -> str:
    """Why ``auto`` is this device, and how to get the other one."""
    if torch.device(device).type == "cuda":
        return "--device cpu for the other one"
    return f"--device cuda for a GPU: {_no_cuda()}"


def _present() -> str:
    return (
        f"cpu and cuda ({torch.cuda.get_device_name()})"
        if torch.cuda.is_available()
        else f"cpu; {_no_cuda()}"
    )


def _no_cuda() -> str:
    if torch.version.cuda is None:
        return "this torch was built without CUDA (pytorch.org has others)"
    return "this torch sees no CUDA device (nvidia-smi says whether there is a driver for one)"


def precision(
    asked: str = "auto", device: torch.device | str = "cpu", known: tuple[str, ...] = PRECISIONS
) -> str:
    """In what a device is to multiply: ``fp32``, ``bf16`` or what else is ``known``.

    ``auto`` is bf16 where the hardware is faster at it (a GPU, AVX512-BF16, AMX), else fp32.

    Raises:
        DeviceError: something else was asked for.
    """
    if asked not in known:
        raise DeviceError(f"precision: expected one of {', '.join(known)}, found {asked!r}")
    if asked != "auto":
        return asked
    if torch.device(device).type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if _flags() & {"avx512_bf16", "amx_bf16"} else "fp32"


def _flags() -> set[str]:
    """What this processor says of itself, where it does."""
    with contextlib.suppress(OSError):
        return set(Path("/proc/cpuinfo").read_text().split())
    return set()


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
