"""``engine=tensorrt``: networks as TensorRT engines by torch-tensorrt's dynamo path (extra ``tensorrt``).

What is multiplied in a short type is cast in the graph itself, which TensorRT takes as it stands. An engine is kept
under a name that holds the weights' fingerprint and the hardware; what came out is recorded as a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import Node
from torch.fx.passes.infra.partitioner import CapabilityBasedPartitioner
from torch.fx.passes.operator_support import OperatorSupportBase

from worldsim.engine.compiled.cuda_graphs import recorded
from worldsim.engine.compiled.export import Call, cache_folder, cache_key, core, export, exporting, written

LEAST = 5
"""Operators that are worth an engine of their own."""
WORKSPACE = 1 << 30
"""Bytes that a kernel may be chosen to need."""


class TensorRt:
    """A :class:`.calls.Compiler`."""

    name = "tensorrt"

    def compile(self, network: nn.Module, args: Sequence[Tensor]) -> Call:
        """See :class:`.calls.Compiler`."""
        import torch_tensorrt

        path = engine_path(network, args, torch_tensorrt.__version__)
        if path.exists():
            return recorded(torch_tensorrt.load(str(path)).module(), args)
        program = export(network, args)
        with exporting():
            made = torch_tensorrt.dynamo.compile(program, arg_inputs=list(args), **options(args[0].device))
            with written(path) as part:
                torch_tensorrt.save(made, str(part), arg_inputs=list(args), retrace=False)
        return recorded(made, args)


def options(device: torch.device) -> dict[str, Any]:
    """What torch-tensorrt is told: types as the graph has them, tactics timed once a machine."""
    return {
        "device": device,
        "disable_tf32": True,
        "min_block_size": LEAST,
        "workspace_size": WORKSPACE,
        "optimization_level": 4,
        "timing_cache_path": str(cache_folder("tensorrt") / "timing.bin"),
    }


def engine_path(network: nn.Module, args: Sequence[Tensor], version: str) -> Path:
    """Where the engine of these weights, shapes, card and versions lies."""
    settings = {name: value for name, value in options(args[0].device).items() if name != "timing_cache_path"}
    key = cache_key(network, args, [f"torch-tensorrt {version}", repr(sorted(settings.items(), key=repr))])
    return cache_folder("tensorrt") / f"{key}.ep"


OUTSIDE = frozenset({"aten.linalg_vector_norm.default"})
"""Core ATen operators of our networks that torch-tensorrt 2.13 has no converter for: those are left to torch."""
ASIDE = frozenset({"_operator.getitem", "aten._assert_tensor_metadata.default"})
"""What computes nothing."""


class _Convertible(OperatorSupportBase):
    def is_node_supported(self, submodules: Any, node: Node) -> bool:
        return node.op == "call_function" and _named(node) not in OUTSIDE


def _named(node: Node) -> str:
    target: Any = node.target
    return (
        str(target) if isinstance(target, torch._ops.OpOverload) else f"{target.__module__}.{target.__name__}"
    )


def partitions(program: ExportedProgram) -> list[int]:
    """How many operators each part of a network has that becomes one engine, as torch's own partitioner cuts it.

    torch-tensorrt has the last word on a machine with a GPU; this needs neither.
    """
    graph = core(program).module()
    found = CapabilityBasedPartitioner(
        graph, _Convertible(), allows_single_node_partition=True, non_compute_ops=list(ASIDE)
    ).propose_partitions()
    counts = [sum(_named(node) not in ASIDE for node in part.nodes) for part in found]
    return sorted((n for n in counts if n >= LEAST), reverse=True)
