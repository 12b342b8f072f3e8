"""The end of the socket where the model is: what it is asked is checked, then one thing after another is done."""

from __future__ import annotations

import secrets
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from socket import socket as Socket
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from gymnasium.spaces import flatdim
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from worldsim.actions import ActionSpec, ActionSpecDamaged, check_same, check_spec, space_from_spec
from worldsim.dream.predictor import Context, Predictor, Row
from worldsim.dream.remote import protocol
from worldsim.dream.remote.protocol import (
    MOST_BYTES,
    MOST_ROWS,
    MOST_SIDE,
    VERSION,
    MessageError,
    array,
    decode,
    encode,
    whole,
)
from worldsim.network import LOCAL, is_known

SEATS = 8  # connections at once
MOST_MODELS, MOST_STATES = 8, 32  # of one connection
MOST_CONTEXT = 4096  # frames that a dream begins from
WRONG, FULL = 1008, 1013  # codes that a socket is closed with

Make = Callable[[int | None, ActionSpec | None], Predictor[Any]]
"""Makes a predictor for a side of pictures, None for its own, and the actions of a world."""


@dataclass(frozen=True)
class About:
    """What everybody is told who comes: what it is called, where it computes, the weights' fingerprint, whether it can
    show pictures of a multiple of its own side, and whether it compresses what it remembers."""

    title: str
    device: str
    fingerprint: str
    sharper: bool = False
    compresses: bool = False


class DreamServer:
    """Serves predictors over a bound socket; call :meth:`serve` in a thread that may wait.

    Args:
        make: of a predictor for each dream that is begun.
        token: None lets everybody in who reaches it.
        local: whether only this machine is served.
        names: further names under which one may ask.
    """

    def __init__(
        self,
        make: Make,
        about: About,
        token: str | None = None,
        local: bool = True,
        names: Iterable[str] = (),
    ) -> None:
        self._make, self.about, self._token, self._local = make, about, token, local
        self._names = frozenset(name.lower() for name in names) | frozenset(LOCAL)
        self._seats = threading.Semaphore(SEATS)
        self._computing = threading.Lock()
        self._server: Server | None = None
        self.spec = make(None, None).spec

    def serve(self, bound: Socket) -> None:
        """Until :meth:`close`."""
        self._server = serve(
            self._seated,
            sock=bound,
            process_request=self._checked,
            max_size=MOST_BYTES,
            compression=None,
            ping_timeout=None,
            close_timeout=2,
            server_header=None,
        )
        with self._server:
            self._server.serve_forever()

    def close(self) -> None:
        """Send everybody away and end."""
        if self._server is not None:
            self._server.shutdown()

    def refusal(self, request: Request) -> str | None:
        """Why a request is not let in, None where it is."""
        hosts = request.headers.get_all("Host")
        if len(hosts) != 1 or not is_known(hosts[0], self._names, self._local):
            return "this server is not asked under that name"
        if request.headers.get_all("Origin"):
            return "a page in a browser may not ask a dream server"
        parts = urlsplit(request.path)
        if parts.path not in ("", "/"):
            return "there is nothing here"
        if self._token is not None:
            query = parts.query if parts.query.count("&") < 16 else ""
            given = parse_qs(query).get("token", [""])[0]
            if not secrets.compare_digest(given.encode(), self._token.encode()):
                return "the address needs the token that the server printed"
        return None

    def _checked(self, connection: ServerConnection, request: Request) -> Response | None:
        reason = self.refusal(request)
        return None if reason is None else connection.respond(HTTPStatus.FORBIDDEN, reason + "\n")

    def _seated(self, connection: ServerConnection) -> None:
        if not self._seats.acquire(blocking=False):
            connection.close(FULL, f"all {SEATS} seats of this server are taken")
            return
        try:
            self._talk(connection)
        except ConnectionClosed:
            pass
        finally:
            self._seats.release()

    def _talk(self, connection: ServerConnection) -> None:
        hello = {
            "type": "hello",
            "version": VERSION,
            "spec": protocol.spec_words(self.spec),
            **vars(self.about),
        }
        connection.send(encode(hello))
        room = Room(self._make)
        broken: Exception | None = None  # what failed of that which wants no answer is told with the next one
        while True:
            try:
                message = decode(connection.recv())
                number = message.get("id")
                if number is not None:
                    whole(message, "id")
            except MessageError as wrong:
                connection.close(WRONG, str(wrong)[:100])
                return
            try:
                if broken is not None and number is not None:
                    raise broken
                with self._computing:
                    answer = room.do(message)
                told = {"type": "done", "id": number, **answer}
            except MessageError as wrong:
                connection.close(WRONG, str(wrong)[:100])
                return
            except ValueError as refused:  # of this program: a size, a state, an action language
                told = {"type": "refused", "id": number, "reason": " ".join(str(refused).split())}
                broken = refused if number is None else None
            except Exception as error:
                traceback.print_exc(file=sys.stderr)
                reason = (
                    f"the model failed there: {type(error).__name__}; the terminal of the server says how"
                )
                told = {"type": "broken", "id": number, "reason": reason}
                broken = error if number is None else None
            if number is not None:
                connection.send(encode(told))


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
        spoken = message.get("action_spec")
        if spoken is not None:
            try:
                check_spec(spoken)
            except ActionSpecDamaged as error:
                raise MessageError(str(error)) from None
        if len(self.models) >= MOST_MODELS:
            raise ValueError(f"this server makes at most {MOST_MODELS} models for one player")
        model = self.make(size, spoken)
        if spoken is not None:
            check_same(model.spec.action_spec, spoken, "the dream at the server", "this world")
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
        dials = protocol.settings(message, model.spec)
        return self._kept(model, model.begin(context, dials, whole(message, "seed")), dials)

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

    def _row(self, told: Any) -> tuple[Predictor[Any], Row[Any]]:
        if not isinstance(told, dict):
            raise MessageError("expected a row to be a map")
        model, state = self._state(told)
        pose = None if told.get("pose") is None else array(told, "pose", "float32", (5,))
        wide = _wide(model)
        future = [] if told.get("future") is None else list(array(told, "future", "float32", (None, wide)))
        return model, Row(state, protocol.settings(told, model.spec), pose, future)

    def _correct(self, message: dict[str, Any]) -> dict[str, Any]:
        model, state = self._state(message)
        side = model.spec.size
        frames = array(message, "frames", "uint8", (None, side, side, 3), MOST_CONTEXT)
        if not len(frames):
            raise MessageError("expected at least 1 frame")
        poses = None if message.get("poses") is None else array(message, "poses", "float64", (len(frames), 5))
        dials = protocol.settings(message, model.spec)
        model.correct(state, frames, poses, dials)
        return {"about": model.about(state, dials)}

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
        dials = protocol.settings(message, model.spec)
        return self._kept(model, model.load(protocol.snapshot_from(message), dials), dials)

    def _forget(self, message: dict[str, Any]) -> None:
        if message.get("state") is not None:
            self.states.pop(whole(message, "state"), None)

    def _kept(self, model: Predictor[Any], state: Any, dials: Any) -> dict[str, Any]:
        if len(self.states) >= MOST_STATES:
            raise ValueError(f"this server keeps at most {MOST_STATES} dreams of one player")
        self.numbers += 1
        self.states[self.numbers] = model, state
        return {"state": self.numbers, "about": model.about(state, dials)}

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
