"""A WebSocket that is asked and waited for like a function, over one thread that alone touches the connection."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from worldsim.dream.remote.protocol import MOST_BYTES

_T = TypeVar("_T")
CLOSE = 1.0  # seconds for the other end to say goodbye in


class Line:
    """A WebSocket to a server, for callers that wait.

    OpenSSL lets one thread at a time at a connection. A client that reads in one thread while another one writes, as
    the library's own blocking client does, loses requests over TLS now and then; here an event loop does both.

    Args:
        address: ``ws://`` or ``wss://``.
        seconds: to reach the server in.

    Raises:
        OSError: nobody is there, or nobody answered in time.
        WebSocketException: the server refuses.
    """

    def __init__(self, address: str, seconds: float) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="dream line", daemon=True)
        self._thread.start()
        try:
            self._socket = self._wait(self._connected(address, seconds))
        except BaseException:
            self._end()
            raise

    def send(self, message: bytes, timeout: float) -> None:
        """Send a message.

        Raises:
            TimeoutError: the server did not read it in so many seconds; the connection is gone then.
            WebSocketException: the connection is gone.
        """
        self._wait(self._sent(message, timeout))

    def recv(self, timeout: float) -> bytes | str:
        """The next message.

        Raises:
            TimeoutError: none came in so many seconds.
            WebSocketException: the connection is gone.
        """
        return self._wait(asyncio.wait_for(self._socket.recv(), timeout))

    def close(self) -> None:
        """Leave, and end the thread. May be called twice."""
        if not self._loop.is_closed():
            with contextlib.suppress(OSError, WebSocketException):
                self._wait(self._closed())
            self._end()

    async def _connected(self, address: str, seconds: float) -> ClientConnection:
        return await connect(
            address,
            max_size=MOST_BYTES,
            compression=None,
            open_timeout=seconds,
            close_timeout=CLOSE,
            ping_timeout=None,  # while it computes in C a small machine may not answer
            proxy=None,
        )

    async def _sent(self, message: bytes, timeout: float) -> None:
        try:
            await asyncio.wait_for(self._socket.send(message), timeout)
        except TimeoutError:
            self._socket.transport.abort()  # half a message is no message, and closing waits for full buffers
            raise

    async def _closed(self) -> None:
        try:
            await asyncio.wait_for(self._socket.close(), 2 * CLOSE)  # its own limit leaves out full buffers
        except TimeoutError:
            self._socket.transport.abort()

    def _wait(self, doing: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result()

    def _end(self) -> None:
        self._wait(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_others() -> None:
    """End what still waits in this loop, as it does after Ctrl-C; the loop would complain of it at its end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=CLOSE)
