"""Building a model by what a file says: never larger than the weights that it is built for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from worldsim.actions import check_spec
from worldsim.checkpoint import tensor_file

LARGEST = 65_536
"""Of any whole number that fixes the shape of a model."""
SPARE, SPARE_TENSORS = 96_000_000, 2_000
"""Numbers and tensors that a model may have beyond those in its file: weights that a library keeps elsewhere."""


class TooLarge(ValueError):
    """A configuration describes a larger model than its weights are of."""


@contextmanager
def no_larger_than(path: Path) -> Iterator[None]:
    """While it lasts, modules that take more numbers than the file of tensors has, and some to spare, are an error.

    It is raised when a weight is made known to its module, which is before it is filled.

    Raises:
        TooLarge: they do.
        TensorFileError: the file's header is damaged.
    """
    shapes = tensor_file.shapes(path)
    left = [2 * sum(prod(shape) for shape in shapes.values()) + SPARE, 2 * len(shapes) + SPARE_TENSORS]

    def count(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        left[0] -= tensor.numel() if tensor is not None else 0
        left[1] -= 1
        if min(left) < 0:
            raise TooLarge(f"the configuration describes a far larger model than {path.name} holds")

    hooks = [
        register_module_parameter_registration_hook(count),  # type: ignore[no-untyped-call]
        register_module_buffer_registration_hook(count),  # type: ignore[no-untyped-call]
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def check_described(description: Mapping[str, Any], models: Mapping[str, str], path: Path) -> None:
    """Whether what a checkpoint says of itself can be built: its numbers, its actions, and nothing left to fill in.

    Args:
        description: its configuration, plain.
        models: the field that fixes the model, by ``kind``.
        path: the file it stands in.

    Raises:
        TooLarge, ActionSpecDamaged: it can not.
    """
    if "${" in path.read_text("utf-8"):
        raise TooLarge("expected plain values, found ${...}, which asks for something of this machine")
    if (kind := description["kind"]) in models:
        check_numbers(description[models[kind]])
    if description["action_spec"]:
        check_spec(description["action_spec"])


def check_numbers(description: Mapping[str, Any]) -> None:
    """Whether every whole number in a configuration is from 0 to :data:`LARGEST`, and no list is longer than 256.

    Raises:
        TooLarge: one is not; the message names it.
    """
    for key, value in description.items():
        some = (
            list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else [value]
        )
        if len(some) > 256:
            raise TooLarge(f"{key} has {len(some)} entries, at most 256 are read")
        if isinstance(value, dict):
            check_numbers(value)
            continue
        for number in some:
            if isinstance(number, int) and not 0 <= number <= LARGEST:
                raise TooLarge(f"expected {key} from 0 to {LARGEST}, found {str(number)[:40]}")
