"""``engine=cudagraphs``: a network's kernels recorded once and launched as one, from memory that stays where it is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from worldsim.engine.compiled.export import Call, examples, exporting, outputs

WARM = 3
"""Runs before the recording, in which libraries choose their kernels and take their memory."""


class CudaGraphs:
    """A :class:`.calls.Compiler`."""

    name = "cudagraphs"

    def compile(self, network: nn.Module, args: Sequence[Tensor]) -> Call:
        """See :class:`.calls.Compiler`; nothing is kept on disk, since recording takes no time."""
        return recorded(network, args)


def recorded(network: nn.Module, args: Sequence[Tensor]) -> Call:
    """Record what a network does on a GPU; arguments are copied to where it looks for them.

    Results lie in memory that the next call writes again: they are to be used up, or copied, before.
    """
    with exporting():
        places = examples(args)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode(), torch.cuda.stream(stream):
        for _ in range(WARM):
            network(*places)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph):
        found = outputs(network(*places))

    def call(*tensors: Tensor) -> tuple[Tensor, ...]:
        for place, x in zip(places, tensors, strict=True):
            place.copy_(x, non_blocking=True)
        graph.replay()
        return tuple(y.clone() for y in found)

    return call
