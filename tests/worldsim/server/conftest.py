"""A server without a network: Starlette's client, a drum for a world, and a player's end of the socket."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the extra `browser` is not installed")
from starlette.testclient import TestClient

from tests.helpers.small_world import Drum, LastFrameDream, NoteRecorder
from worldsim.player.keymap import MinecraftKeymap
from worldsim.server.app import app
from worldsim.server.hosted import Game
from worldsim.server.messages import unpack
from worldsim.server.sessions import Sessions
from worldsim.session.session import Session

HERE = "http://127.0.0.1:8765"


def drum_game(dream: Callable[[], Any] = LastFrameDream) -> Game:
    session = Session(Drum(), {"memory": dream()}, twin=dream, recorder=NoteRecorder())
    return Game(session, MinecraftKeymap(), seed=3)


class Page:
    """What a page does: keeps the newest state, shows frames, steps a paused session one by one."""

    def __init__(self, socket: Any) -> None:
        self.socket, self.state, self.number = socket, {}, 0  # type: ignore[var-annotated]
        self.welcome = self.until("welcome")

    def say(self, kind: str, **fields: Any) -> None:
        self.socket.send_text(json.dumps({"type": kind, **fields}))

    def until(self, kind: str, **wanted: Any) -> Any:
        """The next message of a kind ("frame", "state", "welcome") with these fields."""
        while True:
            got = self.socket.receive()
            if got["type"] == "websocket.close":
                raise AssertionError(f"closed: {got}")
            if got.get("bytes") is not None:
                header, pictures = unpack(got["bytes"])
                self.say("shown", number=header["number"])
                if kind == "frame":
                    return header, pictures
                continue
            words = json.loads(got["text"])
            if words["type"] == kind and all(words.get(k) == v for k, v in wanted.items()):
                return words

    def pause(self) -> None:
        self.say("command", name="pause")
        self.until("state", paused=True)
        time.sleep(0.2)  # a step that had begun comes to its end

    def hold(self, *held: str, mouse: tuple[float, float] = (0.0, 0.0)) -> None:
        self.number += 1
        self.say("hands", number=self.number, held=held, tapped=[], stick=[0, 0], mouse=mouse)

    def step(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """One tick of a paused session: the frame that answers the hands."""
        self.say("command", name="step")
        while True:
            header, pictures = self.until("frame")
            if header["hands"] == self.number:
                return header, pictures


class Client(TestClient):
    """Opens sockets at the address of the server, too."""

    def websocket_connect(self, url: str, *args: Any, **kwargs: Any) -> Any:
        return super().websocket_connect(HERE.replace("http", "ws") + url, *args, **kwargs)


@contextmanager
def serving(sessions: Sessions, **options: Any) -> Iterator[TestClient]:
    with Client(app(sessions, **options), base_url=HERE, headers={"origin": HERE}) as client:
        yield client


@pytest.fixture
def client() -> Iterator[TestClient]:
    with serving(Sessions(drum_game, most=2)) as made:
        yield made
