"""``engine=compile``: torch's own compiler, ahead of time, so that the second start loads what the first one made."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from worldsim.engine.compiled.export import (
    Call,
    cache_folder,
    cache_key,
    export,
    exporting,
    outputs,
    written,
)

OPTIONS: dict[str, bool] = {"freezing": True}
"""Weights are constants: on a CPU they are laid out for its matrix library once."""


class Inductor:
    """A :class:`.calls.Compiler`."""

    name = "compile"

    def compile(self, network: nn.Module, args: Sequence[Tensor]) -> Call:
        """See :class:`.calls.Compiler`."""
        path = cache_folder(self.name) / f"{cache_key(network, args, [repr(OPTIONS)])}.pt2"
        if not path.exists():
            program = export(network, args)
            with exporting(), written(path) as part:
                torch._inductor.aoti_compile_and_package(
                    program, package_path=str(part), inductor_configs=dict(OPTIONS)
                )
        logging.getLogger("torch._inductor").setLevel(logging.ERROR)
        compiled = torch._inductor.aoti_load_package(str(path))

        def call(*tensors: Tensor) -> tuple[Tensor, ...]:
            return outputs(compiled(*tensors))

        return call
