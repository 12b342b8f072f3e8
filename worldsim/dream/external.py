"""Somebody else's world model as a predictor: a class with ``begin`` and ``step`` is enough, frames and actions in, a
frame out.

    class LastFrame:
        def begin(self, frames, actions):  # uint8 (n, H, W, 3), float32 (n - 1, D)
            self.frame = frames[-1]

        def step(self, action):  # float32 (D,)
            return self.frame  # uint8 (H, W, 3)

``begin`` may also take ``seed``. Optional: ``correct(frames)``, true frames (n, H, W, 3) in the place of the newest
(a model without it begins anew, from all that it was shown, corrected); ``save()``, a copy of all it knows as arrays
by name, and ``load(arrays)``, so that one can come back to a state; ``size`` (64), ``histories`` (how many frames
``begin`` may be given, a ladder) and ``action_spec`` (what it was trained on; the world's that is played where it has
none).
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

import numpy as np
from gymnasium import spaces

from worldsim.actions import ActionSpec, check_same, space_from_spec
from worldsim.dream.context import DreamError, check_size
from worldsim.dream.predictor import Context, Frames, Predictor, Row, Settings, Spec
from worldsim.session.snapshot import Snapshot, SnapshotError

GROUP = "worldsim.predictors"
"""The entry points that other packages may give, a name and a factory each."""
SIZE, HISTORIES = 64, (8, 16, 48, 112)
FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")

Factory = Callable[..., Any]
"""Makes a model; is given those of ``size``, ``action_spec`` and ``device`` that it names."""


def is_remote(name: str) -> bool:
    """Whether a name is the address of a dream server."""
    return name.startswith(("ws://", "wss://"))


class ModelFailed(Exception):
    """A model that is not ours raised an error, which is this one's cause: its traceback is kept."""


def find(name: str) -> Factory | None:
    """The factory that a name means, ``package.module:factory`` or an entry point; None where it means neither.

    Modules are looked for in the working folder too.

    Raises:
        DreamError: no such module, or nothing in it that makes a model.
        ModelFailed: the module does not import.
    """
    if not FACTORY.fullmatch(name):
        found = [point for point in entry_points(group=GROUP) if point.name == name]
        return found[0].load() if found else None
    module, _, attribute = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        made: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            raise DreamError(
                f"{name}: no module {error.name} is here; it is looked for in the working folder and on PYTHONPATH"
            ) from None
        raise ModelFailed(f"the module of {name} does not import: {error}") from error
    except Exception as error:
        raise ModelFailed(f"the module of {name} does not import: {error}") from error
    for part in attribute.split("."):
        if not hasattr(made, part):
            raise DreamError(f"{name}: {getattr(made, '__name__', made)} has no {part}")
        made = getattr(made, part)
    if not callable(made):
        raise DreamError(f"{name}: expected a class or a function that makes a model, found {made!r}")
    return cast("Factory", made)


def make(
    factory: Factory,
    name: str,
    *,
    size: int | None = None,
    action_spec: ActionSpec | None = None,
    device: Any = "cpu",
) -> Predictor[Any]:
    """A predictor over a fresh model, or the one that the factory makes.

    Args:
        size: side of the pictures that are wanted, pixels; None for the model's own.
        action_spec: of the world that it is to play in.

    Raises:
        DreamError: it makes no model, or one of another size or action language.
        ModelFailed: it raises.
    """
    words = {"size": size, "action_spec": action_spec, "device": device}
    return wrapped(called(factory, name, **words), factory, name, size=size, action_spec=action_spec)


def called(factory: Factory, name: str, *, size: int | None = None, **offered: Any) -> Any:
    """What a factory makes, given what it names of what is offered.

    Raises:
        ModelFailed: it raises.
    """
    offered["size"] = size or _size(factory)
    return _run(name, "its factory", factory, **_named(factory, offered))


def wrapped(
    model: Any, factory: Factory, name: str, *, size: int | None, action_spec: ActionSpec | None
) -> Predictor[Any]:
    """A predictor over what a factory made; see :func:`make`."""
    if isinstance(getattr(model, "spec", None), Spec):
        return cast("Predictor[Any]", model)
    if missing := [m for m in ("begin", "step") if not callable(getattr(model, m, None))]:
        what = f"{name} makes a {type(model).__name__} without {' and '.join(missing)}"
        raise DreamError(f"{what}; a model needs begin(frames, actions) and step(action)")
    side = size or _size(factory) if "size" in _parameters(factory) else _size(model)
    spec = getattr(model, "action_spec", None) or action_spec
    if spec is None:
        raise DreamError(f"{name} says no action_spec, and no world is here whose actions it could take")
    if action_spec is not None:
        check_same(spec, action_spec, f"the model {name}", "this world")
    check_size(size or side, side, False)
    return External(model, name, spec, side)


@dataclass
class ExternalState:
    """The newest frames (H, W, 3) that a model was shown or showed, and the actions (D,) between them; ``known`` of
    them since it began."""

    frames: deque[Frames]
    actions: deque[np.ndarray]
    seed: int
    known: int = 0


class External(Predictor[ExternalState]):
    """A model that is not ours. It keeps what it keeps, so that it plays one dream at a time; ``history`` is how many
    of the frames so far it is given where it begins. With less than its longest (its forgetful twin) it begins anew
    before a frame, from so many, as soon as it could know more of the past; else nothing would make it forget."""

    def __init__(self, model: Any, name: str, action_spec: ActionSpec, size: int) -> None:
        self.model = model
        self._now: ExternalState | None = None
        histories = tuple(getattr(model, "histories", HISTORIES))
        self.spec = Spec(
            name=name,
            action_spec=action_spec,
            size=size,
            histories=histories,
            window=min(histories),
            shortest=1,
            poseless=f"{name} uses no pose",
        )

    def begin(self, context: Context, settings: Settings, seed: int) -> ExternalState:
        """The model begins from the newest frames of the context."""
        most = max(self.spec.histories)
        self._now = ExternalState(
            deque(context.frames.copy(), most), deque(context.actions.copy(), most - 1), seed
        )
        self._begin(self._now, settings)
        return self._now

    def step(
        self, rows: Sequence[Row[ExternalState]], action: np.ndarray
    ) -> tuple[list[Frames], dict[str, float]]:
        """The model's next frame, checked and copied."""
        (row,) = rows
        self._check_alone(row.state)
        if self._knows_too_much(row.state, row.settings):
            self._begin(row.state, row.settings)
        frame = _run(self.spec.name, "step(action)", self.model.step, action.copy())
        frame = self._checked(frame)
        row.state.frames.append(frame)
        row.state.actions.append(action.copy())
        row.state.known += 1
        return [frame.copy()], {}

    def correct(
        self, state: ExternalState, frames: Frames, poses: np.ndarray | None, settings: Settings
    ) -> None:
        """The model is told the true frames, or begins anew from a past that has them."""
        self._check_alone(state)
        n = min(len(frames), len(state.frames))
        for i in range(-n, 0):
            state.frames[i] = frames[i].copy()
        if self._knows_too_much(state, settings):
            return  # the next frame begins anew, from these
        if callable(correct := getattr(self.model, "correct", None)):
            _run(self.spec.name, "correct(frames)", correct, frames.copy())
        else:
            self._begin(state, settings)

    def about(self, state: ExternalState, settings: Settings) -> dict[str, Any]:
        """Frames that it was given or gave; what it keeps of them nobody knows."""
        return {"memory_frames": min(settings.history, len(state.frames)), "memory_latents": 0}

    def save(self, state: ExternalState) -> Snapshot:
        """What the model gives, and what it was shown."""
        self._check_alone(state)
        if not (callable(getattr(self.model, "save", None)) and callable(getattr(self.model, "load", None))):
            raise SnapshotError(
                f"{self.spec.name} cannot keep the state of a dream: it has no save() and load(arrays)"
            )
        arrays = _run(self.spec.name, "save()", self.model.save)
        if not isinstance(arrays, dict) or not all(isinstance(a, np.ndarray) for a in arrays.values()):
            raise DreamError(f"{self.spec.name}: expected save() to give arrays by name")
        shown = {"frames": np.stack(list(state.frames))}
        if state.actions:
            shown["actions"] = np.stack(list(state.actions))
        copies = {f"model/{name}": np.array(array) for name, array in arrays.items()}
        return Snapshot({"seed": state.seed}, shown | copies)

    def load(self, snapshot: Snapshot, settings: Settings) -> ExternalState:
        """The model goes back to it."""
        frames, most = snapshot.arrays.get("frames"), max(self.spec.histories)
        if frames is None or frames.ndim != 4 or not callable(getattr(self.model, "load", None)):
            raise SnapshotError(f"{self.spec.name} cannot go back to this state")
        actions = snapshot.arrays.get("actions", np.zeros((0, 0), np.float32))
        seed = int(snapshot.tree["seed"])
        state = ExternalState(deque(frames, most), deque(actions, most - 1), seed, len(frames))
        start = "model/"
        kept = {k.removeprefix(start): a for k, a in snapshot.arrays.items() if k.startswith(start)}
        _run(self.spec.name, "load(arrays)", self.model.load, kept)
        self._now = state
        return state

    def _begin(self, state: ExternalState, settings: Settings) -> None:
        frames = np.stack(list(state.frames)[-settings.history :])
        past = list(state.actions)[len(state.actions) - len(frames) + 1 :]
        none = np.zeros((0, spaces.flatdim(space_from_spec(self.spec.action_spec))), np.float32)
        actions = np.stack(past) if past else none
        said = _named(self.model.begin, {"seed": state.seed})
        _run(self.spec.name, "begin(frames, actions)", self.model.begin, frames, actions, **said)
        state.known = len(frames)

    def _knows_too_much(self, state: ExternalState, settings: Settings) -> bool:
        return state.known > settings.history and settings.history < max(self.spec.histories)

    def _checked(self, frame: Any) -> Frames:
        size = self.spec.size
        found = np.array(frame)
        if frame is None or found.shape != (size, size, 3) or found.dtype != np.uint8:
            what = "nothing" if frame is None else f"{found.dtype} {found.shape}{_not_numbers(found)}"
            raise DreamError(
                f"{self.spec.name}: expected step to give a frame uint8 ({size}, {size}, 3) of values 0 to 255, "
                f"found {what}"
            )
        return found

    def _check_alone(self, state: ExternalState) -> None:
        if state is not self._now:
            raise DreamError(f"{self.spec.name} plays one dream at a time; make another for another dream")


def _not_numbers(found: np.ndarray) -> str:
    """Words for a picture that holds NaN or infinity."""
    broken = found.dtype.kind == "f" and not np.isfinite(found).all()
    return ", some of it NaN or infinite" if broken else ""


def _size(model: Any) -> int:
    return int(getattr(model, "size", SIZE))


def _parameters(function: Callable[..., Any]) -> set[str]:
    with suppress(ValueError):  # of some that are written in C
        return set(inspect.signature(function).parameters)
    return set()


def _named(function: Callable[..., Any], offered: dict[str, Any]) -> dict[str, Any]:
    """Those of what is offered that a function names among its parameters."""
    return {key: value for key, value in offered.items() if key in _parameters(function)}


def _run(name: str, what: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    except Exception as error:
        raise ModelFailed(f"the model {name} failed in {what}: {type(error).__name__}: {error}") from error
