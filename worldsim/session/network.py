"""Who may reach what is served here: addresses of this machine, names one is asked under, sockets to listen at."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

HOST = "127.0.0.1"
LOCAL = (HOST, "localhost", "::1")


class AddressError(ValueError):
    """An address at which nothing can be served."""


def is_local(host: str) -> bool:
    """Whether a server at this address can be reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_known(host: str, names: Collection[str], local: bool) -> bool:
    """Whether a request's Host is one of ``names`` or an address in numbers, this machine's own where ``local``.

    A page of a stranger's whose name was made to point here (DNS rebinding) asks under that name.
    """
    try:
        parts = urlsplit(f"//{host}")
        name, _ = parts.hostname or "", parts.port  # a port that is no number raises
        if "@" in host or parts.netloc != host:
            return False
        if name in names:
            return True
        return ipaddress.ip_address(name).is_loopback or not local
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there: who asks before anybody answers waits. Port 0 is any that is free.

    Raises:
        AddressError: the address is in use, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(128)
    except (OSError, OverflowError) as error:
        bound.close()
        why = getattr(error, "strerror", None) or "no such port"
        raise AddressError(f"nothing can be served at {host} port {port}: {why}") from None
    return bound


def url(scheme: str, host: str, bound: socket.socket, token: str | None) -> str:
    """The address of a listening socket, with its token if it needs one."""
    name = f"[{host}]" if ":" in host else host
    path = "/" if token is None else f"/?token={token}"
    return f"{scheme}://{name}:{bound.getsockname()[1]}{path}"
