"""An S3 server on this machine, moto's, really spoken to over HTTP, behind a proxy that can be cut."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec

import pytest

from worldsim.config import addresses

LACKS = [name for name in ("moto", "flask", "flask_cors", "s3fs", "pyarrow") if find_spec(name) is None]
needed = pytest.mark.skipif(
    bool(LACKS),
    reason=f"an S3 server here takes {', '.join(LACKS)}: pip install 'moto[s3]' flask flask-cors s3fs",
)
BUCKET = "s3://worldsim"


class Proxy:
    """Passes bytes on to a server; after ``cut_after`` bytes of answers every connection is closed, at 0 at once.

    ``cuts`` counts the connections that were.
    """

    def __init__(self, port: int) -> None:
        self.port_behind = port
        self.cut_after: int | None = None
        self.only: bytes | None = None  # cut where a request has these bytes
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self.port_behind)) as server:
            wanted = threading.Event()
            threading.Thread(target=self._pass, args=(client, server, wanted), daemon=True).start()
            sent = 0
            while data := server.recv(65536):
                if self.cut_after is not None and wanted.is_set() and sent + len(data) > self.cut_after:
                    client.sendall(data[: self.cut_after - sent])
                    self.cuts += 1
                    # the other thread waits for it: closing alone ends nothing
                    client.shutdown(socket.SHUT_RDWR)
                    server.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)
                sent += len(data)
            client.shutdown(socket.SHUT_RDWR)

    def _pass(self, client: socket.socket, server: socket.socket, wanted: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if self.only is None or self.only in data:
                    wanted.set()
                    if self.cut_after == 0:
                        self.cuts += 1
                        client.shutdown(socket.SHUT_RDWR)
                        server.shutdown(socket.SHUT_RDWR)
                        return
                server.sendall(data)


@contextmanager
def s3() -> Iterator[tuple[Proxy, dict[str, str]]]:
    """A server with an empty bucket; the proxy before it, and the environment in which ``s3://`` means it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 60
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert server.poll() is None and time.monotonic() < until, "the S3 server did not start"
            time.sleep(0.1)
        proxy = Proxy(port)
        variables = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        yield proxy, variables
        proxy.close()
    finally:
        server.terminate()
        server.wait(10)


@contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """While it lasts the process has these variables."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


def make_bucket() -> None:
    """The bucket of these tests, empty."""
    import s3fs

    addresses._file_system.cache_clear()  # of another server
    store = s3fs.S3FileSystem(skip_instance_cache=True)
    if store.exists(BUCKET):
        store.rm(BUCKET, recursive=True)
    store.mkdir(BUCKET)
