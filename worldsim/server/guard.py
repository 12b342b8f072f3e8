"""Who may ask: checks of Host, Origin and token before anything else of a request is looked at."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from worldsim.session.network import LOCAL, is_known

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN = ("/app.js", "/hud.js", "/input.js", "/style.css")  # the page's parts hold nothing of anybody's
HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class Guard:
    """An ASGI application around another one, which sees only requests that may be answered.

    - Host has to be an address in numbers, ``localhost`` or one of ``names``: a page of a stranger's, whose name was
      made to point here (DNS rebinding), asks for that name. Where only this machine is served, the address has to be
      its own.
    - Origin, which browsers send with every socket, has to be the page's own: Host.
    - Where there is a token, ``?token=`` has to be it, but for the page's scripts.

    Args:
        app: what is guarded.
        token: None lets everybody in who reaches this server.
        local: whether only this machine is served.
        names: further names under which pages may ask, without a port.
    """

    def __init__(
        self, app: ASGIApp, token: str | None = None, local: bool = True, names: Iterable[str] = ()
    ) -> None:
        self._app, self._token, self._local = app, token, local
        self._names = frozenset(name.lower() for name in names) | frozenset(LOCAL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it in one sentence (403)."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        reason = self.refusal(scope)
        if scope["type"] == "http":
            if reason is None:
                await self._app(scope, receive, _with_headers(send))
            else:
                await _forbid(_with_headers(send), reason)
        elif reason is None:
            await self._app(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": reason})

    def refusal(self, scope: Scope) -> str | None:
        """Why a request is not answered, None where it is."""
        found: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            found.setdefault(name.lower(), []).append(value)
        hosts, origins = found.get(b"host", []), found.get(b"origin", [])
        if len(hosts) != 1 or not is_known(hosts[0].decode("latin-1"), self._names, self._local):
            return "this server is not asked under that name"
        if len(origins) > 1 or any(
            _netloc(o.decode("latin-1")) != hosts[0].decode("latin-1").lower() for o in origins
        ):
            return "another site's page may not ask this server"
        if scope["type"] == "websocket" and not origins:
            return "a socket needs an Origin, as browsers send it"
        if self._token is not None and scope["path"] not in OPEN:
            query = scope.get("query_string", b"").decode("latin-1")
            given = parse_qs(query, max_num_fields=16).get("token", [""]) if query.count("&") < 16 else [""]
            if not secrets.compare_digest(given[0].encode(), self._token.encode()):
                return "the address needs the token that the server printed"
        return None


def _netloc(origin: str) -> str | None:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme in ("http", "https") else None


def _with_headers(send: Send) -> Send:
    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            ours = {name for name, _ in HEADERS}
            theirs = [(name, value) for name, value in message.get("headers", ()) if name.lower() not in ours]
            message = {**message, "headers": [*theirs, *HEADERS]}
        await send(message)

    return answer


async def _forbid(send: Send, reason: str) -> None:
    body = f"{reason}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
