"""Training state on disk: weights, EMA and optimizer as safetensors, counters as JSON, replaced atomically."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from training.loop.mirror import saved
from worldsim.checkpoint import tensor_file
from worldsim.checkpoint.formats import renamed

FILE = "state.safetensors"
Optimizers = torch.optim.Optimizer | dict[str, torch.optim.Optimizer]
"""One, or several by a name that no part of the run has."""


class StateError(ValueError):
    """A training state that cannot be resumed from."""


def save(folder: Path, parts: dict[str, nn.Module], optimizer: Optimizers, counters: dict[str, Any]) -> None:
    """Write everything a run needs to go on; a kill at any moment leaves the old state or the new one.

    Raises:
        OSError: the disk is full, or the folder cannot be written; the old state stays.
    """
    tensors = {f"{name}/{k}": v for name, part in parts.items() for k, v in part.state_dict().items()}
    for name, one in _by_name(optimizer).items():
        for index, slots in one.state_dict()["state"].items():
            for slot, value in slots.items():
                tensors[f"{name}/{index}/{slot}"] = torch.as_tensor(value)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    tensor_file.write(folder / FILE, tensors, {"counters": json.dumps(counters)})
    saved(folder / FILE)


def restore(folder: Path, parts: dict[str, nn.Module], optimizer: Optimizers) -> dict[str, Any] | None:
    """Load what :func:`save` wrote into the parts and the optimizer; the counters, or None where there is nothing.

    Raises:
        StateError: the file is truncated or belongs to another model.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as f:
            metadata = f.metadata()
            counters: dict[str, Any] = json.loads(metadata["counters"])
            tensors: dict[str, Tensor] = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118
        tensor_file.check(tensors, metadata)
        for name, part in parts.items():
            part.load_state_dict(
                {renamed(k[len(name) + 1 :]): v for k, v in tensors.items() if k.startswith(name + "/")}
            )
        for name, one in _by_name(optimizer).items():
            slots: dict[int, dict[str, Tensor]] = {}
            for key, value in tensors.items():
                if key.startswith(name + "/"):
                    _, index, slot = key.split("/")
                    slots.setdefault(int(index), {})[slot] = value
            one.load_state_dict({"state": slots, "param_groups": one.state_dict()["param_groups"]})
    except (
        *(SafetensorError, RuntimeError, KeyError, ValueError, TypeError),
        *(OSError, MemoryError, IndexError, AttributeError),
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StateError(
            f"{path} cannot be resumed from ({reason}); delete it or choose another out="
        ) from None
    return counters


def _by_name(optimizer: Optimizers) -> dict[str, torch.optim.Optimizer]:
    return optimizer if isinstance(optimizer, dict) else {"optimizer": optimizer}
