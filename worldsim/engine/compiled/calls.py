"""Networks of a model, each compiled when it is first asked for at a shape, and held to its module then."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from worldsim.engine.compiled.export import Call, outputs
from worldsim.engine.compiled.networks import networks
from worldsim.models.world_model import WorldModel

TOGETHER = 2
"""Dreams of one batch at most for which networks are compiled: one, and its twin."""
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""How far a compiled network may be off the module, as a root mean square over that of the module's result."""


class EngineWarning(UserWarning):
    """A network that runs as the plain module, and why."""


class Compiler(Protocol):
    """A library that makes a function of a network."""

    name: str

    def compile(self, network: nn.Module, args: Sequence[Tensor]) -> Call:
        """The network at the shapes of these arguments, on their device; what fails is any error of the library's."""
        ...


class Calls:
    """The networks of a model by a compiler.

    ``products``: what those that make pictures multiply in. ``strict``: a network that cannot be compiled, or is off by
    more than TOLERANCE, is an error, where else it runs as the plain module and an EngineWarning says so.
    """

    def __init__(
        self, model: WorldModel, compiler: Compiler, products: torch.dtype, strict: bool = False
    ) -> None:
        self.model, self.compiler, self.products, self.strict = model, compiler, products, strict
        self._networks: dict[int, dict[str, nn.Module]] = {}
        self._calls: dict[tuple[Any, ...], Call] = {}

    def network(self, name: str, side: int = 0) -> nn.Module:
        """A network by name, for pictures of ``side`` pixels where it makes any."""
        side = side or self.model.config.size
        if side not in self._networks:
            self._networks[side] = networks(self.model, side, self.products)
        return self._networks[side][name]

    def __call__(self, name: str, *args: Tensor, side: int = 0, usual: bool = True) -> tuple[Tensor, ...]:
        """What a network makes of its arguments; ``usual`` shapes are those that come every frame."""
        network = self.network(name, side)
        if not usual or len(args[0]) > TOGETHER:
            return outputs(network(*args))
        key = (name, side, *(x.shape for x in args))
        if key not in self._calls:
            self._calls[key] = self._compiled(name, network, args)
        return self._calls[key](*args)

    def _compiled(self, name: str, network: nn.Module, args: Sequence[Tensor]) -> Call:
        try:
            call, expected = self.compiler.compile(network, args), outputs(network(*args))
            off = max(_off(a, b) for a, b in zip(call(*args), expected, strict=True))
            if not off <= TOLERANCE[self.products]:
                raise ArithmeticError(f"it is {off:.1e} off the module, more than {TOLERANCE[self.products]}")
            return call
        except Exception as error:
            if self.strict:
                raise
            line = str(error).strip().partition("\n")[0]
            warnings.warn(
                f"engine={self.compiler.name} cannot run the network {name!r} ({type(error).__name__}: {line}); "
                "the plain module runs in its place",
                EngineWarning,
                stacklevel=2,
            )
            return lambda *given: outputs(network(*given))


def _off(found: Tensor, expected: Tensor) -> float:
    """Root mean square of the difference over that of what was expected."""
    size = expected.float().square().mean().sqrt().clamp_min(1e-6)
    return float((found.float() - expected.float()).square().mean().sqrt() / size)
