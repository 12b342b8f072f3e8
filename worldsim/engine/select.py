"""Which engine steps the dreams of a model: by name, or the first of the table that can."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from worldsim.checkpoint import LoadedModel
from worldsim.config.hardware import ALIASES, ENGINE_PRECISIONS
from worldsim.engine.backend import Backend, EngineError
from worldsim.engine.capabilities import Capabilities, probe
from worldsim.engine.compiled.backend import Compiled
from worldsim.engine.compiled.cuda_graphs import CudaGraphs
from worldsim.engine.compiled.inductor import Inductor
from worldsim.engine.compiled.onnx_runtime import OnnxRuntime
from worldsim.engine.compiled.tensorrt import TensorRt
from worldsim.engine.cpu.backend import Cpu
from worldsim.engine.eager import Eager
from worldsim.engine.step import Engine
from worldsim.models.world_model import WorldModel
from worldsim.runtime import precision as resolved

PRODUCTS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
SHORT_ON_GPU = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Entry:
    """A backend: how it is made of a model and a dtype for products, which models it suits, and in words.

    ``lacks``: what a model or the machine is without, as the end of a sentence that begins with the engine's name;
    empty where it can be made. One that ``copies`` weights is made again when they have changed; one that is to be
    ``asked_for`` is never taken by ``auto``. ``on_cpu``, ``on_gpu``: the precisions that it multiplies in there, the
    last of which stands in for another that was not named.
    """

    make: Callable[[WorldModel, torch.dtype], Backend]
    lacks: Callable[[WorldModel, Capabilities], str]
    copies: bool = True
    asked_for: bool = False
    on_cpu: tuple[str, ...] = ("fp32",)
    on_gpu: tuple[str, ...] = SHORT_ON_GPU


def _cpu_lacks(model: WorldModel, machine: Capabilities) -> str:
    weights = next(model.parameters())
    suits = (
        weights.device.type == "cpu"
        and weights.dtype == torch.float32
        and model.config.posed  # it chooses what to remember by poses
        and not any(side % 2 for side in model.grid)
    )
    return (
        ""
        if suits
        else "steps single precision models of posed worlds on a CPU with an even number of latents each way"
    )


def _lacks(name: str) -> Callable[[WorldModel, Capabilities], str]:
    return lambda model, machine: machine.lacking(name, next(model.parameters()).device.type)


BACKENDS = {
    "tensorrt": Entry(
        lambda model, products: Compiled(model, TensorRt(), products), _lacks("tensorrt"), on_cpu=()
    ),
    "cudagraphs": Entry(
        lambda model, products: Compiled(model, CudaGraphs(), products), _lacks("cudagraphs"), on_cpu=()
    ),
    "cpu": Entry(Cpu, _cpu_lacks, on_cpu=("fp32", "bf16"), on_gpu=()),
    "onnx": Entry(
        lambda model, products: Compiled(model, OnnxRuntime(), products),
        _lacks("onnx"),
        asked_for=True,
        on_gpu=("fp32", "fp16"),
    ),
    "compile": Entry(
        lambda model, products: Compiled(model, Inductor(), products),
        _lacks("compile"),
        asked_for=True,
        on_cpu=("fp32", "bf16"),
    ),
    "eager": Entry(lambda model, products: Eager(model), lambda model, machine: "", copies=False),
}
"""By name, the fastest first: ``auto`` takes the first that can step a model here."""


def engine_for(loaded: LoadedModel, name: str = "auto", precision: str = "fp32") -> Engine:
    """The engine by name, made once for a model and, where it copies weights, again when they have changed.

    ``precision``: what it multiplies in where it makes pictures (:func:`worldsim.runtime.precision`).

    Raises:
        EngineError: no such engine, or one that cannot step this model here.
        DeviceError: no such precision.
    """
    model, name = loaded.model, ALIASES.get(name, name)
    if name not in ("auto", *BACKENDS):
        raise EngineError(f"engine: expected one of {', '.join(('auto', *BACKENDS))}, found {name!r}")
    device = next(model.parameters()).device
    asked = resolved(precision, device, ENGINE_PRECISIONS)
    name = chosen(model) if name == "auto" else name
    entry = BACKENDS[name]
    if lacking := entry.lacks(model, probe()):
        raise EngineError(f"the {name} engine {lacking}; use engine=auto")
    asked = _precision(name, precision, asked, device)
    state = (asked, *_versions(model)) if entry.copies else ()
    if name not in loaded.engines or loaded.engines[name][0] != state:
        with torch.inference_mode():
            loaded.engines[name] = state, Engine(entry.make(model, PRODUCTS[asked]))
    engine: Engine = loaded.engines[name][1]
    return engine


def usable(model: WorldModel) -> list[str]:
    """The names of the backends that can step a model on this machine, the fastest first."""
    machine = probe()
    return [name for name, entry in BACKENDS.items() if not entry.lacks(model, machine)]


def chosen(model: WorldModel) -> str:
    """The name of the backend that ``auto`` takes for a model on this machine."""
    return next(name for name in usable(model) if not BACKENDS[name].asked_for)


def _precision(name: str, asked: str, resolved_to: str, device: torch.device) -> str:
    """What an engine multiplies in; eager takes any and keeps to the weights' own."""
    known = BACKENDS[name].on_gpu if device.type == "cuda" else BACKENDS[name].on_cpu
    if resolved_to in known or name == "eager":
        return resolved_to
    if asked in ("auto", "bf16") and known:  # the nearest there is
        return known[-1]
    raise EngineError(f"the {name} engine multiplies in {' or '.join(known)}, found precision={asked}")


def _versions(model: WorldModel) -> list[tuple[int, int]]:
    """Of each tensor where it lies and how often it was written."""
    tensors = [*model.parameters(), *model.buffers()]
    return [(t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors]
