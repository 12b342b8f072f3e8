"""The socket to a dream server: questions and answers, and what becomes of it where it is lost."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import WebSocketException

from worldsim.dream.context import DreamError
from worldsim.dream.remote import protocol
from worldsim.dream.remote.line import Line
from worldsim.dream.remote.protocol import VERSION, MessageError, decode, encode
from worldsim.session.interfaces import DreamLost

CONNECT, ANSWER, BEGIN = (
    5.0,
    10.0,
    120.0,
)  # seconds to reach a server; for a frame; for what may compile or load


class Link:
    """The socket to one dream server, opened again where it was lost.

    Args:
        address: ``ws://HOST:PORT`` or ``wss://``, with ``?token=`` where the server wants one.

    Raises:
        DreamError: no server is there, or none of this protocol.
    """

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.name = (
            f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"  # no token in what is shown or written
        )
        self._address = address
        self._lock = threading.RLock()
        self._socket: Line | None = None
        self._number = 0
        self._gone: deque[tuple[int, str, int]] = deque()  # what nobody here needs any more, by generation
        self.generation = 0
        try:
            self.about = self._open()
        except (OSError, WebSocketException, MessageError) as error:
            raise DreamError(f"no dream answers at {self.name}: {_why(error)}") from None

    def request(self, kind: str, seconds: float = ANSWER, **fields: Any) -> dict[str, Any]:
        """Ask, and wait for the answer: so many seconds at most until all is sent, and as many until it comes.

        Raises:
            DreamLost: the connection broke, or the server was not in time; it is closed.
            DreamError: the server refuses, in its own words.
        """
        with self._lock:
            self._number += 1
            self._send({"type": kind, "id": self._number, **fields}, seconds)
            try:
                assert self._socket is not None
                answer = decode(self._socket.recv(timeout=seconds))
                if answer.get("id") != self._number:
                    raise MessageError("its answer belongs to another question")
            except TimeoutError:
                raise self._lost(f"it gave no answer for {seconds:.0f} seconds") from None
            except (OSError, WebSocketException, MessageError) as error:
                raise self._lost(_why(error)) from None
        if answer["type"] == "done":
            return answer
        reason = " ".join(str(answer.get("reason", "it does not say why")).split())[:500]
        if answer["type"] == "refused":
            raise DreamError(reason)
        raise self._lost(reason)

    def tell(self, kind: str, **fields: Any) -> None:
        """Say something that wants no answer.

        Raises:
            DreamLost: the connection broke, or the server does not read.
        """
        with self._lock:
            self._send({"type": kind, **fields}, ANSWER)

    def again(self) -> None:
        """Open it again, if it is lost.

        Raises:
            DreamLost: no server is there, or another dream than before.
        """
        with self._lock:
            if self._socket is not None:
                return
            try:
                about = self._open()
            except (OSError, WebSocketException, MessageError) as error:
                raise DreamLost(f"no dream answers at {self.name}: {_why(error)}") from None
            if (about["fingerprint"], about["spec"]) != (self.about["fingerprint"], self.about["spec"]):
                self.close()
                raise DreamLost(f"another dream answers at {self.name} now; start anew to play it")

    def forget(self, generation: int, kind: str, number: int) -> None:
        """Tell the server, with the next message, that something is not needed any more; from any thread."""
        self._gone.append((generation, kind, number))

    def close(self) -> None:
        """Leave. May be called twice."""
        with self._lock:
            socket, self._socket = self._socket, None
            if socket is not None:
                socket.close()

    def _open(self) -> dict[str, Any]:
        socket = Line(self._address, CONNECT)
        try:
            hello = decode(socket.recv(timeout=CONNECT))
            if hello["type"] != "hello" or hello.get("version") != VERSION:
                raise MessageError(f"it does not speak version {VERSION} of the protocol")
            about = {
                "title": str(hello.get("title", "a dream"))[:100],
                "device": str(hello.get("device", ""))[:100],
                "fingerprint": str(hello.get("fingerprint", ""))[:200],
                "sharper": hello.get("sharper") is True,
                "compresses": hello.get("compresses") is True,
                "spec": protocol.spec_from(hello.get("spec")),
            }
        except BaseException:
            socket.close()
            raise
        self._socket, self.generation = socket, self.generation + 1
        return about

    def _send(self, message: dict[str, Any], seconds: float) -> None:
        if self._socket is None:
            raise DreamLost(f"the dream at {self.name} is gone")
        try:
            while self._gone:
                generation, kind, number = self._gone.popleft()
                if generation == self.generation:
                    self._socket.send(encode({"type": "forget", kind: number}), seconds)
            self._socket.send(encode(message), seconds)
        except TimeoutError:
            raise self._lost(f"it read nothing for {seconds:.0f} seconds") from None
        except (OSError, WebSocketException) as error:
            raise self._lost(_why(error)) from None

    def _lost(self, why: str) -> DreamLost:
        self.close()
        return DreamLost(
            f"the dream at {self.name} is gone ({why}); the true world plays on, X starts it again"
        )


def _why(error: Exception) -> str:
    """An error of the network in a few words, without addresses, which may hold a token."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, TimeoutError):
        return "nothing answers"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        body = getattr(error.response, "body", b"") or b""  # type: ignore[attr-defined]
        return " ".join(body.decode("utf-8", "replace").split())[:200] or f"it refuses with {status}"
    if (closed := getattr(error, "rcvd", None)) is not None and closed.reason:
        return str(closed.reason)
    if isinstance(error, MessageError):
        return str(error)
    return "the connection broke" if isinstance(error, WebSocketException | OSError) else type(error).__name__
