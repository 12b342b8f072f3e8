"""Who can dream: checkpoints by their kind, and models that are not ours, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from worldsim.dream.remote.link import Link

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
        handover_after=o.alone_after,
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
        link: to the server that has it, where it is on another machine.
        device: where it computes.
    """

    name: str
    loaded: Loaded[Any] | None = None
    factory: Factory | None = None
    link: Link | None = None
    device: torch.device | str = "cpu"

    @property
    def size(self) -> int:
        """Side of its pictures, pixels."""
        if self.link is not None:
            return int(self.link.about["spec"].size)
        if self.loaded is None:
            return int(getattr(self.factory, "size", external.SIZE))
        return int(self.loaded.model.config.size)

    @property
    def sharper(self) -> bool:
        """Whether it can show pictures of a multiple of that side."""
        if self.link is not None:
            return bool(self.link.about["sharper"])
        return bool(
            self.loaded and self.loaded.description.kind == "world" and self.loaded.model.config.pixels
        )

    @property
    def compresses(self) -> bool:
        """Whether its dreams take a budget that no method sets."""
        if self.link is not None:
            return bool(self.link.about["compresses"])
        return self.loaded is not None and self.loaded.description.kind == "world"

    def dream(self, options: Options | None = None, **settings: Any) -> Dream[Any]:
        """A new dream; ``settings`` are those of :class:`worldsim.dream.env.Dream`.

        Raises:
            DreamError: options or settings that it does not have.
        """
        return Dream(self.predictor(options or Options()), **settings)

    def predictor(self, options: Options) -> Predictor[Any]:
        """What imagines the frames of a new dream.

        Raises:
            DreamError: options that it does not have.
            DreamLost: it is on another machine, and not there any more.
        """
        if self.loaded is not None:
            return PREDICTORS[self.loaded.description.kind](self.loaded, options)
        if self.link is not None:
            from worldsim.dream.remote.client import RemotePredictor

            return RemotePredictor(self.link, options.size, options.action_spec)
        assert self.factory is not None
        return external.make(
            self.factory, self.name, size=options.size, action_spec=options.action_spec, device=self.device
        )


def find(name: str, device: torch.device | str = "cpu", method: str = "") -> Source:
    """What a name means: ``ws://HOST:PORT``, a dream server; ``package.module:factory`` or an entry point of
    ``worldsim.predictors``; or a checkpoint.

    Args:
        method: the name of the method that is to play it; empty where it plays by its own.

    Raises:
        CheckpointError: no such checkpoint, or one that does not play so.
        DreamError: no such module or factory, or a method for a model that is not ours.
        ModelFailed: its module does not import.
    """
    if external.is_remote(name):
        if method:
            raise DreamError(f"a dream server has its own method; leave method={method} out")
        if not all(find_spec(needed) for needed in ("msgpack", "websockets")):
            raise DreamError(
                'a dream on another machine needs packages that are not installed; run: pip install "worldsim[remote]"'
            )
        from worldsim.dream.remote.link import Link

        link = Link(name)
        return Source(link.name, link=link, device=link.about["device"])
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
