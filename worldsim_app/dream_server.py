"""A dream for worlds on other machines: worldsim dream-server checkpoint=NAME [--host ADDRESS] [--port PORT]

Whoever plays gives the address that is printed as its checkpoint: `worldsim play --env dmlab --checkpoint
ws://127.0.0.1:8766`. By default only this machine can reach it; any other --host needs the token that is printed
with the address. --public-name NAME is a name under which a proxy in front, with TLS, is asked.

key=value words: checkpoint (a name, a folder, OWNER/NAME, or MODULE:FACTORY), method, device, precision, threads,
second and alone_after, as `worldsim play` takes them.
"""

from __future__ import annotations

import argparse
import secrets
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, NoReturn

from worldsim.cli.command import command, say

MISSING = 'a dream server needs packages that are not installed; run: pip install "worldsim[remote]"'


@dataclass
class DreamServerConfig:
    """The ``key=value`` words."""

    checkpoint: str = ""
    method: str = ""
    device: str = "auto"
    precision: str = "auto"
    threads: int = 1
    second: bool = True
    alone_after: int | None = None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see worldsim dream-server --help")


@command
def main(words: list[str]) -> None:
    """Serve until Ctrl-C."""
    from worldsim.session.network import HOST, listen, url

    parser = _Parser(prog="worldsim dream-server", allow_abbrev=False)
    parser.add_argument("--host", default=HOST)
    parser.add_argument("--port", type=int, default=8766)
    parser.add_argument("--public-name", action="append", default=[])
    parser.add_argument("words", nargs="*")
    found = parser.parse_intermixed_args(words)
    from worldsim.config import load

    config = load(DreamServerConfig, found.words)
    if not config.checkpoint:
        raise ValueError(
            "expected checkpoint=NAME, for instance checkpoint=blocks; see worldsim dream-server --help"
        )
    if not all(find_spec(name) for name in ("msgpack", "websockets")):
        raise ValueError(MISSING)
    bound = listen(found.host, found.port)
    try:
        server = _server(config, found.host, found.public_name)
        address = url("ws", found.host, bound, server[1])
        say(f"{server[0].about.title} on {server[0].about.device} at {address}  (Ctrl-C ends it)")
        try:
            server[0].serve(bound)
        finally:
            server[0].close()
    finally:
        bound.close()


def _server(config: DreamServerConfig, host: str, names: list[str]) -> tuple[Any, str | None]:
    """The server and its token, if it needs one."""

    from worldsim.diffusion.methods import method
    from worldsim.dream import registry
    from worldsim.dream.remote.server import About, DreamServer
    from worldsim.runtime import hardware, pick_device, use_threads
    from worldsim.session.network import is_local

    use_threads(config.threads)
    source = registry.find(config.checkpoint, pick_device(config.device), config.method)
    video = source.loaded is not None and source.loaded.description.kind == "video"

    def make(size: int | None, action_spec: Any) -> Any:
        return source.predictor(
            registry.Options(
                method=method(config.method) if video else None,
                precision=config.precision,
                second=config.second,
                alone_after=config.alone_after,
                size=size,
                action_spec=action_spec,
            )
        )

    first = make(None, None)
    about = About(
        title=f"dream: {source.loaded.path.name if source.loaded else source.name}",
        device=f"{source.device}, {hardware(source.device)}",
        fingerprint=first.fingerprint,
        sharper=source.sharper,
        compresses=source.compresses,
    )
    local = is_local(host) and not names
    token = None if local else secrets.token_urlsafe(24)
    return DreamServer(make, about, token, local, (*names, host)), token
