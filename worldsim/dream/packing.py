"""Whatever a dream's state is made of (tensors, lists, dataclasses that are named here) as a snapshot, and back.

Nothing is pickled: a state says the names of what it holds, and only what the reader knows by that name is made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim.session.snapshot import Snapshot, SnapshotError

DEEPEST = 32


@dataclass(frozen=True)
class Kind:
    """A dataclass that may be in a state; ``given`` are fields that are not kept but given when it is made again."""

    made: type
    given: Mapping[str, Any] | None = None


def pack(value: Any, kinds: Mapping[str, Kind]) -> Snapshot:
    """A copy of a value as JSON and arrays; tensors are taken to the CPU.

    Raises:
        SnapshotError: it holds something that is neither plain data nor one of ``kinds``.
    """
    packing = _Packing({kind.made: (name, kind) for name, kind in kinds.items()})
    return Snapshot({"value": packing.tree(value)}, packing.arrays)


def unpack(snapshot: Snapshot, kinds: Mapping[str, Kind], device: torch.device | str = "cpu") -> Any:
    """What :func:`pack` was given.

    Raises:
        SnapshotError: it names what is not there, or what is not known here.
    """
    try:
        return _Unpacking(snapshot.arrays, kinds, device).value(snapshot.tree["value"], 0)
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError, OverflowError) as error:
        if isinstance(error, SnapshotError):
            raise
        raise SnapshotError(f"this state is not whole ({str(error)[:100] or type(error).__name__})") from None


class _Packing:
    def __init__(self, kinds: dict[type, tuple[str, Kind]]) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._kinds = kinds

    def tree(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float | str):
            return value if not isinstance(value, float) or np.isfinite(value) else {"float": str(value)}
        if isinstance(value, Tensor):
            return {"tensor": self._tensor(value)}
        if isinstance(value, np.ndarray | np.generic):
            return {"array": self._keep(np.array(value))}
        if isinstance(value, torch.Generator):
            return {"generator": self._keep(value.get_state().numpy().copy())}
        if isinstance(value, list | tuple | deque):
            return self._row(value)
        if type(value) is dict and all(isinstance(key, str) for key in value):
            return {"dict": {key: self.tree(v) for key, v in value.items()}}
        if type(value) in self._kinds:
            name, kind = self._kinds[type(value)]
            skipped = kind.given or {}
            kept = [f.name for f in fields(kind.made) if f.init and f.name not in skipped]
            return {"kind": name, "fields": {key: self.tree(getattr(value, key)) for key in kept}}
        raise SnapshotError(f"a {type(value).__name__} cannot be kept")

    def _row(self, values: list[Any] | tuple[Any, ...] | deque[Any]) -> Any:
        shape: dict[str, Any] = {"as": type(values).__name__}
        if isinstance(values, deque):
            shape["most"] = values.maxlen
        # Frames are many and alike: one array of all of them.
        for kind, name in ((Tensor, "tensors"), (np.ndarray, "arrays")):
            if len(values) > 1 and all(isinstance(v, kind) for v in values):
                first = values[0]
                if all(v.shape == first.shape and v.dtype == first.dtype for v in values):
                    if kind is Tensor:
                        return shape | {name: self._tensor(torch.stack(list(values)))}
                    return shape | {name: self._keep(np.stack(list(values)))}
        return shape | {"items": [self.tree(v) for v in values]}

    def _tensor(self, value: Tensor) -> list[str]:
        plain = value.detach().cpu().contiguous()
        if plain.dtype == torch.bfloat16:  # which NumPy does not know
            return [self._keep(plain.view(torch.uint16).numpy().copy()), "bfloat16"]
        return [self._keep(plain.numpy().copy())]

    def _keep(self, array: np.ndarray) -> str:
        name = str(len(self.arrays))
        self.arrays[name] = array
        return name


class _Unpacking:
    def __init__(
        self, arrays: dict[str, np.ndarray], kinds: Mapping[str, Kind], device: torch.device | str
    ) -> None:
        self._arrays, self._kinds, self._device = arrays, kinds, device

    def value(self, tree: Any, depth: int) -> Any:
        if depth > DEEPEST:
            raise SnapshotError("this state is too deep")
        if not isinstance(tree, dict):
            if tree is None or isinstance(tree, bool | int | float | str):
                return tree
            raise SnapshotError("this state is not whole")
        if "float" in tree:
            return float(tree["float"])
        if "tensor" in tree:
            return self._tensor(tree["tensor"])
        if "array" in tree:
            found = self._arrays[tree["array"]].copy()
            return found if found.ndim else found[()]
        if "generator" in tree:
            made = torch.Generator()
            made.set_state(torch.from_numpy(self._arrays[tree["generator"]].copy()))
            return made
        if "as" in tree:
            return self._row(tree, depth)
        if "dict" in tree:
            return {key: self.value(v, depth + 1) for key, v in tree["dict"].items()}
        kind = self._kinds[tree["kind"]]
        names = {f.name for f in fields(kind.made) if f.init} - set(kind.given or {})
        if set(tree["fields"]) != names:
            raise SnapshotError(f"this state was kept by another version: its {tree['kind']} has other parts")
        parts = {name: self.value(v, depth + 1) for name, v in tree["fields"].items()}
        return kind.made(**parts, **(kind.given or {}))

    def _row(self, tree: dict[str, Any], depth: int) -> Any:
        if "tensors" in tree:
            values: list[Any] = [row.clone() for row in self._tensor(tree["tensors"])]
        elif "arrays" in tree:
            values = [row.copy() for row in self._arrays[tree["arrays"]]]
        else:
            values = [self.value(v, depth + 1) for v in tree["items"]]
        if tree["as"] == "deque":
            return deque(values, tree["most"])
        return tuple(values) if tree["as"] == "tuple" else values

    def _tensor(self, names: list[str]) -> Tensor:
        found = torch.from_numpy(self._arrays[names[0]].copy())
        return (found.view(torch.bfloat16) if names[1:] == ["bfloat16"] else found).to(self._device)
