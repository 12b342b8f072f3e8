"""The application: the page's files, the socket that a session is played over, and what may be downloaded."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from worldsim.server.guard import Guard
from worldsim.server.hosted import HostedSession
from worldsim.server.messages import MOST_BYTES, MessageError, parse
from worldsim.server.sessions import SPECTATORS, Sessions, SessionsFull
from worldsim.server.viewer import Allowance, Viewer

PAGE = Path(__file__).parent / "page"
FILES = {
    "/": ("index.html", "text/html"),
    "/app.js": ("app.js", "text/javascript"),
    "/hud.js": ("hud.js", "text/javascript"),
    "/input.js": ("input.js", "text/javascript"),
    "/style.css": ("style.css", "text/css"),
}
REFUSED, ENDED, TOO_BIG, WRONG = 4000, 4001, 1009, 1008  # codes that a socket is closed with
SWEEP = 1.0  # seconds between two looks for sessions that are over


class Refused(Exception):
    """A page that may not play or look on; the sentence is for it."""


def app(
    sessions: Sessions, *, token: str | None = None, local: bool = True, names: Iterable[str] = ()
) -> Guard:
    """The whole server as an ASGI application, behind its guard, whose arguments are passed on.

    ``sessions`` are closed with it.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(_sweep(sessions))
        try:
            yield
        finally:
            sweeping.cancel()
            await asyncio.to_thread(sessions.close)

    async def play(socket: WebSocket) -> None:
        await _play(socket, sessions)

    async def download(request: Request) -> Response:
        hosted = sessions.find(request.path_params["session"])
        path = hosted.files.get(request.path_params["name"]) if hosted else None
        if path is None or not path.is_file():
            return PlainTextResponse("there is no such file, or not yet\n", 404)
        return FileResponse(path, filename=request.path_params["name"])

    routes = [Route(at, _file(*what)) for at, what in FILES.items()]
    routes += [Route("/files/{session}/{name}", download)]
    return Guard(
        Starlette(routes=[*routes, WebSocketRoute("/play", play)], lifespan=lifespan), token, local, names
    )


def _file(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return FileResponse(PAGE / name, media_type=kind)

    return answer


async def _sweep(sessions: Sessions) -> None:
    while True:
        await asyncio.sleep(SWEEP)
        try:
            await asyncio.to_thread(sessions.sweep)
        except Exception:  # a recording that cannot be sealed must not keep the others from being swept
            traceback.print_exc(file=sys.stderr)


async def _play(socket: WebSocket, sessions: Sessions) -> None:
    await socket.accept()
    try:
        hosted, plays = await _seat(socket, sessions)
    except Refused as refused:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # it may have left
            await socket.send_json({"type": "refused", "reason": str(refused)})
            await socket.close(REFUSED, str(refused))
        return
    viewer = Viewer(asyncio.get_running_loop(), plays)
    hosted.join(viewer)

    async def until_it_ends(part: Callable[[], Awaitable[None]]) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # the page may have left
            await part()
        both.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as both:
            both.start_soon(until_it_ends, lambda: _send(socket, viewer))
            both.start_soon(until_it_ends, lambda: _receive(socket, viewer, hosted))
    finally:
        hosted.leave(viewer)


async def _seat(socket: WebSocket, sessions: Sessions) -> tuple[HostedSession, bool]:
    """The session that a page asks for, and whether it plays there.

    Raises:
        Refused: there is no such session, no seat in it, or no room for another one.
    """
    asked = socket.query_params
    name, key = asked.get("session"), asked.get("key")
    if not name:
        try:
            return await asyncio.to_thread(sessions.create), True
        except SessionsFull as full:
            raise Refused(str(full)) from None
        except Exception:
            traceback.print_exc(file=sys.stderr)
            raise Refused("the world could not be made; the terminal of the server says why") from None
    hosted = sessions.find(name)
    if hosted is None:
        raise Refused("that session is over")
    if key is not None and secrets.compare_digest(key.encode(), hosted.key.encode()):
        return hosted, True
    if asked.get("watch") != "1":
        raise Refused("that session has its player; you can look on")
    if hosted.spectators >= SPECTATORS:
        raise Refused(f"{SPECTATORS} pages look on already")
    return hosted, False


async def _send(socket: WebSocket, viewer: Viewer) -> None:
    while (message := await viewer.next()) is not None:
        if isinstance(message, bytes):
            await socket.send_bytes(message)
        else:
            await socket.send_text(message)
    await _close(socket, ENDED, viewer.closed)


async def _receive(socket: WebSocket, viewer: Viewer, hosted: HostedSession) -> None:
    allowance = Allowance()
    while True:
        received = await socket.receive()
        if received["type"] == "websocket.disconnect":
            return
        text = received.get("text")
        if not allowance.take():
            await _close(socket, WRONG, "too many messages")
            return
        if text is None:
            await _close(socket, WRONG, "expected text")
            return
        try:
            hosted.receive(viewer, parse(text))
        except MessageError as wrong:
            await _close(socket, TOO_BIG if len(text) > MOST_BYTES else WRONG, str(wrong)[:120])
            return


async def _close(socket: WebSocket, code: int, reason: str | None) -> None:
    """Close it to the end: from now on the other part's sends fail, which would cancel this one."""
    with anyio.CancelScope(shield=True):
        await socket.close(code, reason)
