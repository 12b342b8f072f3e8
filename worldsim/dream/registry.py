"""Who can dream: checkpoints by their kind, and models that are not ours, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from worldsim import checkpoint
from worldsim.actions import ActionSpec
from worldsim.checkpoint import Loaded
from worldsim.diffusion.methods import Method
from worldsim.dream import external
from worldsim.dream.ar_diffusion import ArPredictor
from worldsim.dream.context import DreamError
from worldsim.dream.env import Dream
from worldsim.dream.external import Factory
from worldsim.dream.predictor import Predictor
from worldsim.dream.video import MethodPredictor
from worldsim.dream.world import WorldPredictor

PAIR = "ar_diffusion"
"""The method that plays a pair of AR-VAE and denoiser, and the kind of its checkpoint."""


@dataclass(frozen=True)
class Options:
    """How a predictor is made; each kind takes what it knows of it.

    ``method`` plays a video model. The other words are a world model's, see
    :class:`worldsim.dream.world.WorldPredictor`; ``precision`` is also a video model's; ``size``, and the
    ``action_spec`` of the world that is played, are also for models that are not ours.
    """

    method: Method | None = None
    engine: str = "auto"
    precision: str = "fp32"
    second: bool = True
    alone_after: int | None = None
    spacing: str = "even"
    size: int | None = None
    action_spec: ActionSpec | None = None


def _world(loaded: Loaded[Any], o: Options) -> WorldPredictor:
    return WorldPredictor(
        loaded,
        engine=o.engine,
        precision=o.precision,
        second=o.second,
        alone_after=o.alone_after,
        size=o.size,
        spacing=o.spacing,
    )


def _video(loaded: Loaded[Any], o: Options) -> MethodPredictor:
    assert o.method is not None, "a video model is loaded for a method"
    return MethodPredictor(loaded, o.method, o.precision)


PREDICTORS: dict[str, Callable[[Loaded[Any], Options], Predictor[Any]]] = {
    "world": _world,
    "video": _video,
    PAIR: lambda loaded, _: ArPredictor(loaded),
}
"""By the kind of a checkpoint."""


@dataclass(frozen=True)
class Source:
    """What dreams are made of.

    Attributes:
        name: as it was asked for.
        loaded: the checkpoint; None for a model that is not ours.
        factory: what makes that one.
        device: where it computes.
    """

    name: str
    loaded: Loaded[Any] | None = None
    factory: Factory | None = None
    device: torch.device | str = "cpu"

    @property
    def size(self) -> int:
        """Side of its pictures, pixels."""
        if self.loaded is None:
            return int(getattr(self.factory, "size", external.SIZE))
        return int(self.loaded.model.config.size)

    @property
    def sharper(self) -> bool:
        """Whether it can show pictures of a multiple of that side."""
        return bool(
            self.loaded and self.loaded.description.kind == "world" and self.loaded.model.config.pixels
        )

    @property
    def compresses(self) -> bool:
        """Whether its dreams take a budget that no method sets."""
        return self.loaded is not None and self.loaded.description.kind == "world"

    def dream(self, options: Options | None = None, **settings: Any) -> Dream[Any]:
        """A new dream; ``settings`` are those of :class:`worldsim.dream.env.Dream`.

        Raises:
            DreamError: options or settings that it does not have.
        """
        options = options or Options()
        if self.loaded is not None:
            return Dream(PREDICTORS[self.loaded.description.kind](self.loaded, options), **settings)
        assert self.factory is not None
        model = external.make(
            self.factory, self.name, size=options.size, action_spec=options.action_spec, device=self.device
        )
        return Dream(model, **settings)


def find(name: str, device: torch.device | str = "cpu", method: str = "") -> Source:
    """What a name means: ``package.module:factory``, an entry point of ``worldsim.predictors``, or a checkpoint.

    Args:
        method: the name of the method that is to play it; empty where it plays by its own.

    Raises:
        CheckpointError: no such checkpoint, or one that does not play so.
        DreamError: no such module or factory, or a method for a model that is not ours.
        ModelFailed: its module does not import.
    """
    if factory := external.find(name):
        if method:
            raise DreamError(f"{name} plays by itself; leave method={method} out")
        return Source(name, factory=factory, device=device)
    return Source(name, load(name, device, method), device=device)


def load(name: str, device: torch.device | str = "cpu", method: str = "") -> Loaded[Any]:
    """A checkpoint that plays by a method, or by its own where none is named.

    Raises:
        CheckpointError: missing, broken, or of a kind that does not play so.
    """
    if method in ("", PAIR) and checkpoint.describe(name)[1].kind == PAIR:
        return checkpoint.load_ar_diffusion(name, device)
    return checkpoint.load_video(name, device) if method else checkpoint.load(name, device)
