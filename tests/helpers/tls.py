"""A proxy that speaks TLS under a name, with a certificate that nobody trusts unless told to."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

PATIENCE = 180.0  # seconds; a machine may be busy


@contextlib.contextmanager
def tls_proxy(address: str, certified: ssl.SSLContext) -> Iterator[int]:
    """The port of a proxy that speaks TLS and passes everything on to ``address`` as it is."""
    to = urlsplit(address)
    loop, port = asyncio.new_event_loop(), list[int]()
    listening, ended = threading.Event(), asyncio.Event()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # one of the two left
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(to.hostname, to.port)
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    async def listen() -> None:
        server = await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=certified)
        port.append(server.sockets[0].getsockname()[1])
        listening.set()
        await ended.wait()
        server.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(listen(),), daemon=True)
    thread.start()
    assert listening.wait(PATIENCE)
    try:
        yield port[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(PATIENCE)
