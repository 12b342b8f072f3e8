"""Serving: the address, the token, and uvicorn until it is told to end."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from worldsim.session.network import HOST, AddressError, is_local, listen, url

NEEDED = ("starlette", "uvicorn", "websockets")
PORT = 8765
MISSING = 'playing in a browser needs packages that are not installed; run: pip install "worldsim[browser]"'


class ServerError(ValueError):
    """What cannot be served: packages that are not there, or an address that cannot be used."""


@dataclass(frozen=True)
class Address:
    """Where to serve. ``names`` are those under which a proxy in front, with TLS, is asked."""

    host: str = HOST
    port: int = PORT
    names: tuple[str, ...] = ()

    @property
    def local(self) -> bool:
        """Whether nobody but this machine's users can reach it."""
        return is_local(self.host) and not self.names


def check_installed() -> None:
    """Say at once, before anything is loaded, what is missing.

    Raises:
        ServerError: the extra ``browser`` is not installed.
    """
    if not all(find_spec(name) for name in NEEDED):
        raise ServerError(MISSING)


def serve(make_game: Callable[[], object], address: Address, most: int, say: Callable[[str], None]) -> None:
    """Serve sessions until Ctrl-C; then all of them are closed, and recordings sealed.

    Args:
        make_game: makes a :class:`worldsim.server.hosted.Game` for every session.
        address: where; one that others can reach gets a token.
        most: sessions at once.
        say: prints a line.

    Raises:
        ServerError: the extra is not installed, or the address is in use or not this machine's.
        KeyboardInterrupt: it was told to end.
    """
    check_installed()
    import uvicorn

    from worldsim.server.app import app
    from worldsim.server.messages import MOST_BYTES
    from worldsim.server.sessions import SPECTATORS, Sessions

    token = None if address.local else secrets.token_urlsafe(24)
    try:
        listening = listen(address.host, address.port)
    except AddressError as error:
        raise ServerError(str(error)) from None
    sessions = Sessions(make_game, most)  # type: ignore[arg-type]
    try:
        sessions.prepare()
        guarded = app(sessions, token=token, local=address.local, names=(*address.names, address.host))
        config = uvicorn.Config(
            guarded,
            log_level="warning",
            access_log=False,  # addresses hold tokens
            ws_max_size=4 * MOST_BYTES,
            ws_max_queue=16,
            ws_ping_interval=5.0,
            ws_ping_timeout=10.0,
            ws_per_message_deflate=False,  # pictures are packed already
            limit_concurrency=most * (SPECTATORS + 1) * 2 + 64,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=3,
            server_header=False,
            proxy_headers=False,
        )
        say(f"play at {url('http', address.host, listening, token)}  (Ctrl-C ends it)")
        for name in address.names:
            say(f"through a proxy with TLS at https://{name}/?token={token}")
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        sessions.close()
        listening.close()
