"""The models of a bench: whatever can dream, with its settings, and what tells whether it is still the same."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldsim.actions import ActionSpec, ActionSpecMismatch, check_same
from worldsim.config import ConfigError
from worldsim.diffusion.methods import method
from worldsim.dream import registry
from worldsim.dream.env import Dream
from worldsim.dream.registry import Options, Source

TRUTH = "truth"
"""The name of the true world as a model: what can be reached."""
NUMBERS = ("history", "budget", "denoising_steps")
WORDS = ("method", "precision")


@dataclass(frozen=True)
class Model:
    """A model as it was asked for: ``NAME[,SETTING=VALUE ...]``.

    Attributes:
        label: all of it, as results tell it.
        name: what :func:`worldsim.dream.registry.find` takes.
        settings: of history (``window`` for the shortest), budget, denoising_steps, method, precision.
    """

    label: str
    name: str
    settings: dict[str, str]

    @property
    def slug(self) -> str:
        """Of the label, what a file may be called."""
        plain = "".join(c if c.isalnum() or c in "._-" else "-" for c in self.label)[:80]
        return f"{plain}-{hashlib.sha256(self.label.encode()).hexdigest()[:6]}"

    @property
    def twin(self) -> Model:
        """The same with its shortest history."""
        return parse(",".join([self.label, "history=window"]))


def parse(word: str) -> Model:
    """A model of the command line.

    Raises:
        ConfigError: settings that no model has.
    """
    name, *rest = word.split(",")
    settings: dict[str, str] = {}
    for part in rest:
        key, equals, value = part.partition("=")
        if not equals or key not in (*NUMBERS, *WORDS):
            raise ConfigError(f"{word}: expected settings of {', '.join((*NUMBERS, *WORDS))}, found {part}")
        if key in NUMBERS and not value.isdigit() and (key, value) != ("history", "window"):
            raise ConfigError(f"{word}: expected {key} to be a number, found {value}")
        settings[key] = value
    return Model(word, name, settings)


def is_model(word: str) -> bool:
    """Whether a word of the command line is a model and no ``key=value``."""
    return "=" not in word.partition(",")[0]


def source_of(model: Model, device: Any) -> Source:
    """What its dreams are made of; see :func:`worldsim.dream.registry.find` for the errors."""
    return registry.find(model.name, device, model.settings.get("method", ""))


def speaks(source: Source, spec: ActionSpec) -> bool:
    """Whether a checkpoint takes the actions of a world; a model that is not ours says so when it is made."""
    if source.loaded is None:
        return True
    try:
        check_same(source.loaded.action_spec, spec, source.name, "this world")
    except ActionSpecMismatch:
        return False
    return True


def dream_of(model: Model, source: Source, spec: ActionSpec, size: int) -> Dream[Any]:
    """A dream in a world, by the model's settings.

    Raises:
        ActionSpecMismatch: it takes other actions.
        DreamError, ModelFailed: it does not have the settings, or does not begin.
    """
    words = model.settings
    options = Options(
        method=method(words["method"]) if "method" in words else None,
        precision=words.get("precision", "fp32"),
        size=size,
        action_spec=spec,
    )
    dream = source.dream(options)
    for name in NUMBERS:
        if name in words:
            setattr(dream, name, dream.window if words[name] == "window" else int(words[name]))
    return dream


def module_of(source: Source) -> str:
    """The module that makes a model that is not ours; of a checkpoint its name."""
    return str(getattr(source.factory, "__module__", None) or source.name.partition(":")[0])


def fingerprint(source: Source) -> str:
    """16 digits that change with a checkpoint's files, with the weights of a dream server, or with the file that a
    model's code lies in."""
    digest = hashlib.sha256(source.name.encode())
    if source.link is not None:
        digest.update(str(source.link.about["fingerprint"]).encode())
    for path in _files(source):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def parameters(source: Source, dream: Dream[Any]) -> int | None:
    """How many numbers a model has, where that can be seen."""
    whole: Any = source.loaded.model if source.loaded else getattr(dream.predictor, "model", None)
    parts = [whole] if hasattr(whole, "parameters") else list(getattr(whole, "__dict__", {}).values())
    counts = [_count(part.parameters) for part in parts if callable(getattr(part, "parameters", None))]
    return sum(counts) if counts else None


def _count(each: Callable[[], Any]) -> int:
    return sum(int(p.numel()) for p in each() if hasattr(p, "numel"))


def _files(source: Source) -> list[Path]:
    if source.loaded is not None:
        return sorted(p for p in Path(source.loaded.path).iterdir() if p.suffix in (".safetensors", ".yaml"))
    try:
        found = inspect.getsourcefile(inspect.unwrap(source.factory))  # type: ignore[arg-type]
    except TypeError:
        found = None
    return [Path(found)] if found else []
