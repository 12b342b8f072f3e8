"""A connection to a dream server over a long time: nothing piles up there, and nothing is waited for without end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.small_model import SIZE, SPEC
from worldsim.dream.context import DreamError
from worldsim.dream.predictor import Context, Settings
from worldsim.dream.remote.client import RemotePredictor
from worldsim.dream.remote.line import Line
from worldsim.dream.remote.link import Link
from worldsim.dream.remote.room import MOST_MODELS
from worldsim.session.interfaces import DreamLost
from worldsim.session.processes import environment

ROOT = Path(__file__).parents[4]
DIALS = Settings(20, 8, 2, "dream")
BEGINNING = Context(np.zeros((2, SIZE, SIZE, 3), np.uint8), np.zeros((1, 20), np.float32), None)
LARGE = 48 * 2**20  # bytes, more than the buffers of a connection hold

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


def test_a_model_is_forgotten_with_its_predictor(address: str) -> None:
    link = Link(address)
    for _ in range(MOST_MODELS + 1):
        RemotePredictor(link, SIZE, SPEC)
    predictors = [RemotePredictor(link, SIZE, SPEC) for _ in range(MOST_MODELS)]
    with pytest.raises(DreamError, match="at most 8 models"):
        RemotePredictor(link, SIZE, SPEC)
    predictors.pop()
    RemotePredictor(link, SIZE, SPEC)
    link.close()


def test_a_model_that_was_opened_again_is_forgotten_too(address: str) -> None:
    link = Link(address)
    predictors = [RemotePredictor(link, SIZE, SPEC) for _ in range(MOST_MODELS)]
    link.close()
    for predictor in predictors:
        predictor.begin(BEGINNING, DIALS, 1)
    del predictor
    predictors.clear()
    predictors = [RemotePredictor(link, SIZE, SPEC) for _ in range(MOST_MODELS)]
    link.close()


def test_a_dream_goes_on_when_its_model_is_forgotten(address: str) -> None:
    link = Link(address)
    state = RemotePredictor(link, SIZE, SPEC).begin(BEGINNING, DIALS, 1)
    with pytest.raises(DreamLost, match="model that was opened"):
        link.request("begin", model=state.number - 1)
    link.again()
    state = RemotePredictor(link, SIZE, SPEC).begin(BEGINNING, DIALS, 1)
    rows = [{"state": state.number, "settings": asdict(DIALS)}]
    answer = link.request("step", 60, rows=rows, action=np.zeros(20, np.float32))
    assert answer["frames"][0].shape == (SIZE, SIZE, 3)
    link.close()


@pytest.fixture
def stopped() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a server, and its process, to be stopped."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    served = subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / "remote_last_frame.py"), str(port)], text=True
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield f"ws://127.0.0.1:{port}", served
    finally:
        served.kill()
        served.wait()


@posix
def test_a_server_that_reads_nothing_is_lost_in_time(stopped: tuple[str, subprocess.Popen[str]]) -> None:
    address, served = stopped
    link, errors = Link(address), []
    served.send_signal(signal.SIGSTOP)

    def ask() -> None:
        try:
            link.request("begin", 0.5, frames=np.zeros(LARGE, np.uint8))
        except DreamLost as error:
            errors.append(str(error))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(10)
    assert not asking.is_alive()
    assert "read nothing for" in errors[0] and "the true world plays on, X starts it again" in errors[0]
    began = time.monotonic()
    link.close()
    assert time.monotonic() - began < 1


@posix
def test_a_line_with_full_buffers_can_be_closed(stopped: tuple[str, subprocess.Popen[str]]) -> None:
    address, served = stopped
    line = Line(address, 60)
    line.recv(60)
    served.send_signal(signal.SIGSTOP)
    asyncio.run_coroutine_threadsafe(line._socket.send(bytes(LARGE)), line._loop)  # as Ctrl-C leaves it
    time.sleep(0.2)
    closing = threading.Thread(target=line.close, daemon=True)
    closing.start()
    closing.join(8)
    assert not closing.is_alive()


@posix
def test_ctrl_c_while_connecting_leaves_no_complaint() -> None:
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from worldsim.dream.remote.line import Line\n"
        "Line(sys.argv[1], 60)"
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(120)
        words = [sys.executable, "-c", code, f"ws://127.0.0.1:{silent.getsockname()[1]}"]
        started = subprocess.Popen(words, cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True)
        try:
            with silent.accept()[0] as connection:
                assert connection.recv(1)  # it waits for the answer now
                started.send_signal(signal.SIGINT)
                _, errors = started.communicate(timeout=60)
        finally:
            started.kill()
    assert "KeyboardInterrupt" in errors and "Task was destroyed" not in errors
