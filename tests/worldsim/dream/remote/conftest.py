"""A dream server in a thread of the test's own process, over a small model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("msgpack", reason="the extra `remote` is not installed")

from tests.helpers.small_model import small_loaded
from worldsim.checkpoint import LoadedModel
from worldsim.dream.remote.server import About, DreamServer
from worldsim.dream.world import WorldPredictor
from worldsim.session.network import HOST, listen


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return small_loaded(tmp_path_factory.mktemp("small") / "checkpoint", pixels=True)


@contextmanager
def serving(
    make: Callable[..., Any], fingerprint: str = "one", port: int = 0, **options: Any
) -> Iterator[str]:
    """The address of a server, which is gone afterwards with all its sockets."""
    bound = listen(HOST, port)
    server = DreamServer(make, About("a dream", "cpu", fingerprint), **options)
    thread = threading.Thread(target=server.serve, args=(bound,), name="dream server")
    thread.start()
    try:
        yield f"ws://{HOST}:{bound.getsockname()[1]}"
    finally:
        while server._server is None:
            pass
        server.close()
        thread.join()
        bound.close()


@pytest.fixture
def address(loaded: LoadedModel) -> Iterator[str]:
    with serving(lambda size, spec: WorldPredictor(loaded, size=size), loaded.fingerprint) as found:
        yield found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path
