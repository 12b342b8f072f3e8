"""Which engine steps the dreams of a model: by name, or the first of the table that can."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from worldsim.checkpoint import LoadedModel
from worldsim.engine.backend import Backend, EngineError
from worldsim.engine.cpu.backend import Cpu
from worldsim.engine.eager import Eager
from worldsim.engine.step import Engine
from worldsim.models.world_model import WorldModel
from worldsim.runtime import precision as resolved

PRODUCTS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Entry:
    """A backend: how it is made of a model and a dtype for products, which models it suits, and in words.

    One that ``copies`` weights is made again when they have changed.
    """

    make: Callable[[WorldModel, torch.dtype], Backend]
    suits: Callable[[WorldModel], bool]
    needs: str = ""
    copies: bool = True


def _suits_cpu(model: WorldModel) -> bool:
    weights = next(model.parameters())
    return (
        weights.device.type == "cpu"
        and weights.dtype == torch.float32
        and model.config.posed  # it chooses what to remember by poses
        and not any(side % 2 for side in model.grid)
    )


BACKENDS = {
    "cpu": Entry(
        Cpu,
        _suits_cpu,
        "single precision models of posed worlds on a CPU with an even number of latents each way",
    ),
    "eager": Entry(lambda model, products: Eager(model), lambda model: True, copies=False),
}
"""By name, the fastest first: ``auto`` takes the first that suits a model."""
ALIASES = {"fast": "cpu", "plain": "eager"}


def engine_for(loaded: LoadedModel, name: str = "auto", precision: str = "fp32") -> Engine:
    """The engine by name, made once for a model and, where it copies weights, again when they have changed.

    ``precision``: what a fast one multiplies in where it makes pictures (:func:`worldsim.runtime.precision`).

    Raises:
        EngineError: no such engine, or one that cannot step this model.
        DeviceError: no such precision.
    """
    model, name = loaded.model, ALIASES.get(name, name)
    if name not in ("auto", *BACKENDS):
        raise EngineError(f"engine: expected one of {', '.join(('auto', *BACKENDS))}, found {name!r}")
    asked = resolved(precision, next(model.parameters()).device)
    name = chosen(model) if name == "auto" else name
    entry = BACKENDS[name]
    if not entry.suits(model):
        raise EngineError(f"the {name} engine steps {entry.needs}; use engine=auto")
    state = (asked, *_versions(model)) if entry.copies else ()
    if name not in loaded.engines or loaded.engines[name][0] != state:
        with torch.inference_mode():
            loaded.engines[name] = state, Engine(entry.make(model, PRODUCTS[asked]))
    engine: Engine = loaded.engines[name][1]
    return engine


def chosen(model: WorldModel) -> str:
    """The name of the backend that ``auto`` takes for a model."""
    return next(name for name, entry in BACKENDS.items() if entry.suits(model))


def _versions(model: WorldModel) -> list[tuple[int, int]]:
    """Of each tensor where it lies and how often it was written."""
    tensors = [*model.parameters(), *model.buffers()]
    return [(t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors]
