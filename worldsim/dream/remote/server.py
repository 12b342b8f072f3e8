"""The end of the socket where the model is: what it is asked is checked, then one thing after another is done."""

from __future__ import annotations

import secrets
import sys
import threading
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from socket import socket as Socket
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from worldsim.dream.remote import protocol
from worldsim.dream.remote.protocol import (
    MOST_BYTES,
    VERSION,
    MessageError,
    decode,
    encode,
    whole,
)
from worldsim.dream.remote.room import Make, Room
from worldsim.session.network import LOCAL, is_known

SEATS = 8  # connections at once
WRONG, FULL = 1008, 1013  # codes that a socket is closed with


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
                answered = {"type": "done", "id": number, **answer}
            except MessageError as wrong:
                connection.close(WRONG, str(wrong)[:100])
                return
            except ValueError as refused:  # of this program: a size, a state, an action language
                answered = {"type": "refused", "id": number, "reason": " ".join(str(refused).split())}
                broken = refused if number is None else None
            except Exception as error:
                traceback.print_exc(file=sys.stderr)
                reason = (
                    f"the model failed there: {type(error).__name__}; the terminal of the server says how"
                )
                answered = {"type": "broken", "id": number, "reason": reason}
                broken = error if number is None else None
            if number is not None:
                connection.send(encode(answered))
