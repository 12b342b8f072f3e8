"""Which engine steps the dreams of a model: the fast one where it can, the plain one elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from worldsim.checkpoint import LoadedModel
from worldsim.engine.cpu.backend import Fast
from worldsim.engine.localisation.relocalise import relocalise
from worldsim.engine.localisation.visual_odometry import take_bearings
from worldsim.engine.past import DreamPast
from worldsim.engine.step import Mind, imagine
from worldsim.models.odometry import Odometry
from worldsim.models.world_model import WorldModel
from worldsim.runtime import precision as resolved

ENGINES = ("auto", "fast", "plain")
PRODUCTS = {"fp32": torch.float32, "bf16": torch.bfloat16}


class EngineError(ValueError):
    """An engine that does not exist, or that cannot step this model."""


class Engine(Protocol):
    """What steps dreams; see :mod:`worldsim.engine.step` and :class:`worldsim.engine.past.DreamPast`."""

    def imagine(
        self, minds: list[Mind], led: Tensor, guides: Sequence[Tensor | None]
    ) -> tuple[list[np.ndarray], dict[str, float]]:
        """One frame for each mind."""
        ...

    def reckon(self, past: DreamPast) -> None:
        """Poses of the newest frames, those that have none yet."""
        ...

    def relocalise(self, past: DreamPast, newest: int, history: int) -> Tensor:
        """The pose (5,) that the newest frame was seen from; see :mod:`worldsim.engine.localisation.relocalise`.

        What is remembered are the frames of the last ``history`` but for the ``newest``.
        """
        ...

    def take_bearings(self, past: DreamPast, first: int, history: int) -> None:
        """Correct the poses of the frames from place ``first`` on, true ones; see :mod:`.visual_odometry`."""
        ...

    def replay(self, past: DreamPast) -> None:
        """Compute what the newest frames left behind again."""
        ...

    def encode_features(self, past: DreamPast) -> None:
        """Compute what every frame shows to the reader again."""
        ...

    def prepare(self, mind: Mind) -> None:
        """Compress what lies behind the short window, where it is time, before the next frame is asked for."""
        ...


class Plain:
    """The modules as they were trained, on any device."""

    def __init__(self, model: WorldModel) -> None:
        self.model = model

    def imagine(
        self, minds: list[Mind], led: Tensor, guides: Sequence[Tensor | None]
    ) -> tuple[list[np.ndarray], dict[str, float]]:
        return imagine(self.model, minds, led, list(guides))

    def reckon(self, past: DreamPast) -> None:
        past.reckon(self.model)

    def relocalise(self, past: DreamPast, newest: int, history: int) -> Tensor:
        views = past.older_than(newest, history)
        return relocalise(self.model, views, past.latents[-1], past.poses[-1], past.count - 1)

    def take_bearings(self, past: DreamPast, first: int, history: int) -> None:
        take_bearings(self.model, past, first, history, self.model.pixels.distances)

    def replay(self, past: DreamPast) -> None:
        past.replay(self.model)

    def encode_features(self, past: DreamPast) -> None:
        past.encode_features(self.model)

    def prepare(self, mind: Mind) -> None:
        mind.refresh(self.model)


def engine_for(loaded: LoadedModel, name: str = "auto", precision: str = "fp32") -> Engine:
    """The engine by name; the fast one is made once for a model and again when its weights have changed.

    ``precision``: what the fast one multiplies in where it makes pictures (:func:`worldsim.runtime.precision`).

    Raises:
        EngineError: no such engine, or ``fast`` for a model that is not in single precision on a CPU.
        DeviceError: no such precision.
    """
    if name not in ENGINES:
        raise EngineError(f"engine: expected one of {', '.join(ENGINES)}, found {name!r}")
    model = loaded.model
    asked, suits = resolved(precision, next(model.parameters()).device), _suits(model)
    if name == "fast" and not suits:
        raise EngineError(
            "the fast engine steps single precision models of posed worlds on a CPU with an even number of latents "
            "each way; "
            "use engine=plain"
        )
    if name == "plain" or not suits:
        plain: Plain = loaded.engines.setdefault("plain", Plain(model))
        return plain
    tensors = [*model.parameters(), *model.buffers()]
    state = asked, *((t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors)
    if loaded.engines.get("state") != state:
        with torch.inference_mode():
            loaded.engines |= {"state": state, "fast": Fast(model, PRODUCTS[asked])}
    fast: Fast = loaded.engines["fast"]
    return fast


def _suits(model: WorldModel) -> bool:
    weights = next(model.parameters())
    return (
        weights.device.type == "cpu"
        and weights.dtype == torch.float32
        and type(model.odometry) is Odometry
        and model.config.posed  # it chooses what to remember by poses
        and not any(side % 2 for side in model.grid)
    )
