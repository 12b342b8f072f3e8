"""What one connection to a dream server may do: models and dreams by their numbers, every message checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium.spaces import flatdim

from worldsim.actions import ActionSpec, ActionSpecDamaged, check_same, check_spec, space_from_spec
from worldsim.dream.predictor import Context, Predictor, Row
from worldsim.dream.remote import protocol
from worldsim.dream.remote.protocol import MOST_ROWS, MOST_SIDE, MessageError, array, whole

MOST_MODELS, MOST_STATES = 8, 32  # of one connection
MOST_CONTEXT = 4096  # frames that a dream begins from

Make = Callable[[int | None, ActionSpec | None], Predictor[Any]]
"""Makes a predictor for a side of pictures, None for its own, and the actions of a world."""


@dataclass
class Room:
    """The models and dreams of one connection, by their numbers."""

    make: Make
    models: dict[int, Predictor[Any]] = field(default_factory=dict)
    states: dict[int, tuple[Predictor[Any], Any]] = field(default_factory=dict)
    numbers: int = 0

    def do(self, message: dict[str, Any]) -> dict[str, Any]:
        """Do what a message asks, and say what came of it.

        Raises:
            MessageError: it is not of the protocol.
            ValueError: the model or this server refuses.
        """
        asked = {
            "open": self._open,
            "begin": self._begin,
            "step": self._step,
            "correct": self._correct,
            "turn": self._turn,
            "prepare": self._prepare,
            "prefetch": self._prefetch,
            "save": self._save,
            "load": self._load,
            "forget": self._forget,
        }.get(message["type"])
        if asked is None:
            raise MessageError("expected a type of the protocol")
        return asked(message) or {}

    def _open(self, message: dict[str, Any]) -> dict[str, Any]:
        size = None if message.get("size") is None else whole(message, "size", 1, MOST_SIDE)
        action_spec = message.get("action_spec")
        if action_spec is not None:
            try:
                check_spec(action_spec)
            except ActionSpecDamaged as error:
                raise MessageError(str(error)) from None
        if len(self.models) >= MOST_MODELS:
            raise ValueError(f"this server makes at most {MOST_MODELS} models for one player")
        model = self.make(size, action_spec)
        if action_spec is not None:
            check_same(model.spec.action_spec, action_spec, "the dream at the server", "this world")
        self.numbers += 1
        self.models[self.numbers] = model
        return {"model": self.numbers, "spec": protocol.spec_words(model.spec)}

    def _begin(self, message: dict[str, Any]) -> dict[str, Any]:
        model, side = self._model(message), self._model(message).spec.size
        frames = array(message, "frames", "uint8", (None, side, side, 3), MOST_CONTEXT)
        n, wide = len(frames), _wide(model)
        if n < 1:
            raise MessageError("expected at least 1 frame")
        poses = None if message.get("poses") is None else array(message, "poses", "float64", (n, 5))
        context = Context(frames, array(message, "actions", "float32", (n - 1, wide)), poses)
        asked_settings = protocol.settings(message, model.spec)
        return self._kept(model, model.begin(context, asked_settings, whole(message, "seed")), asked_settings)

    def _step(self, message: dict[str, Any]) -> dict[str, Any]:
        asked = message.get("rows")
        if not isinstance(asked, list) or not 1 <= len(asked) <= MOST_ROWS:
            raise MessageError(f"expected 1 to {MOST_ROWS} rows")
        found = [self._row(row) for row in asked]
        if len({id(row.state) for _, row in found}) < len(found):
            raise MessageError("expected each dream once in a step")
        action = array(message, "action", "float32", (_wide(found[0][0]),))
        (first, one), others = found[0], found[1:]
        if all(first.fits(one.state, model, row.state) for model, row in others):
            frames, ms = first.step([row for _, row in found], action)
        else:
            frames, ms = [], {}
            for model, row in found:
                (frame,), spent = model.step([row], action)
                frames.append(frame)
                ms = {phase: ms.get(phase, 0.0) + spent.get(phase, 0.0) for phase in {**ms, **spent}}
        abouts = [model.about(row.state, row.settings) for model, row in found]
        return {"frames": [np.asarray(frame) for frame in frames], "ms": ms, "abouts": abouts}

    def _row(self, answered: Any) -> tuple[Predictor[Any], Row[Any]]:
        if not isinstance(answered, dict):
            raise MessageError("expected a row to be a map")
        model, state = self._state(answered)
        pose = None if answered.get("pose") is None else array(answered, "pose", "float32", (5,))
        wide = _wide(model)
        future = (
            [] if answered.get("future") is None else list(array(answered, "future", "float32", (None, wide)))
        )
        return model, Row(state, protocol.settings(answered, model.spec), pose, future)

    def _correct(self, message: dict[str, Any]) -> dict[str, Any]:
        model, state = self._state(message)
        side = model.spec.size
        frames = array(message, "frames", "uint8", (None, side, side, 3), MOST_CONTEXT)
        if not len(frames):
            raise MessageError("expected at least 1 frame")
        poses = None if message.get("poses") is None else array(message, "poses", "float64", (len(frames), 5))
        asked_settings = protocol.settings(message, model.spec)
        model.correct(state, frames, poses, asked_settings)
        return {"about": model.about(state, asked_settings)}

    def _turn(self, message: dict[str, Any]) -> None:
        model, state = self._state(message)
        model.turn(state, protocol.settings(message, model.spec))

    def _prepare(self, message: dict[str, Any]) -> None:
        model, state = self._state(message)
        model.prepare(state)

    def _prefetch(self, message: dict[str, Any]) -> None:
        model = self._model(message)
        model.prefetch(array(message, "frame", "uint8", (model.spec.size, model.spec.size, 3)))

    def _save(self, message: dict[str, Any]) -> dict[str, Any]:
        model, state = self._state(message)
        return protocol.snapshot_words(model.save(state))

    def _load(self, message: dict[str, Any]) -> dict[str, Any]:
        model = self._model(message)
        asked_settings = protocol.settings(message, model.spec)
        return self._kept(model, model.load(protocol.snapshot_from(message), asked_settings), asked_settings)

    def _forget(self, message: dict[str, Any]) -> None:
        if message.get("state") is not None:
            self.states.pop(whole(message, "state"), None)
        if message.get("model") is not None:  # dreams of it go on
            self.models.pop(whole(message, "model"), None)

    def _kept(self, model: Predictor[Any], state: Any, asked_settings: Any) -> dict[str, Any]:
        if len(self.states) >= MOST_STATES:
            raise ValueError(f"this server keeps at most {MOST_STATES} dreams of one player")
        self.numbers += 1
        self.states[self.numbers] = model, state
        return {"state": self.numbers, "about": model.about(state, asked_settings)}

    def _model(self, message: dict[str, Any]) -> Predictor[Any]:
        found = self.models.get(whole(message, "model"))
        if found is None:
            raise MessageError("expected a model that was opened")
        return found

    def _state(self, message: dict[str, Any]) -> tuple[Predictor[Any], Any]:
        found = self.states.get(whole(message, "state"))
        if found is None:
            raise MessageError("expected a state that was begun")
        return found


def _wide(model: Predictor[Any]) -> int:
    """Numbers of an action."""
    return int(flatdim(space_from_spec(model.spec.action_spec)))
