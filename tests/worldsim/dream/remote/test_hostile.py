"""Who is not let in to a dream server, and what becomes of messages that are none."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.helpers.small_model import SIZE
from tests.worldsim.dream.remote.conftest import serving
from worldsim.checkpoint import LoadedModel
from worldsim.dream.env import Dream
from worldsim.dream.remote import protocol
from worldsim.dream.remote.client import RemotePredictor
from worldsim.dream.remote.link import Link
from worldsim.dream.remote.protocol import MessageError, decode, encode
from worldsim.dream.remote.server import SEATS
from worldsim.dream.world import WorldPredictor

DIALS = {"history": 20, "budget": 8, "denoising_steps": 2, "pose_from": "dream"}


@pytest.fixture(scope="module")
def served(loaded: LoadedModel) -> Iterator[str]:
    with serving(lambda size, spec: WorldPredictor(loaded, size=size), loaded.fingerprint) as address:
        yield address


def _refused(address: str, **headers: str) -> str:
    with pytest.raises(InvalidStatus) as refused, connect(address, additional_headers=headers):
        pass
    assert refused.value.response.status_code == 403
    return bytes(refused.value.response.body or b"").decode()


def test_a_token_is_needed_where_there_is_one(loaded: LoadedModel) -> None:
    with serving(lambda size, spec: WorldPredictor(loaded), token="secret", local=False) as address:
        for wrong in (
            "",
            "/?token=secre",
            "/?token=secret1",
            "/?tokem=secret",
            "/?" + "a&" * 20 + "token=secret",
        ):
            assert "token" in _refused(address + wrong)
        with connect(f"{address}/?token=secret") as line:
            assert decode(line.recv())["type"] == "hello"


def test_a_page_in_a_browser_and_a_strange_name_are_refused(served: str) -> None:
    assert "browser" in _refused(served, Origin="http://127.0.0.1")
    assert "nothing" in _refused(f"{served}/etc/passwd")
    port = int(served.rpartition(":")[2])
    plain = socket.create_connection(("127.0.0.1", port))
    with pytest.raises(InvalidStatus), connect(f"ws://evil.example:{port}", sock=plain):
        pass


def _ask(line: ClientConnection, **message: Any) -> dict[str, Any]:
    line.send(encode({"id": 1, **message}))
    return decode(line.recv(timeout=60))


def _begun(line: ClientConnection) -> tuple[int, int]:
    decode(line.recv())
    model = _ask(line, type="open")["model"]
    frames, actions = np.zeros((2, SIZE, SIZE, 3), np.uint8), np.zeros((1, 20), np.float32)
    begun = _ask(line, type="begin", model=model, frames=frames, actions=actions, settings=DIALS, seed=1)
    return model, begun["state"]


def _closed_with(address: str, message: Any) -> str:
    with connect(address, compression=None) as line:
        _, state = _begun(line)
        if isinstance(message, dict):
            message = encode(
                {
                    key: state if isinstance(value, str) and value == "STATE" else value
                    for key, value in message.items()
                }
            )
        try:
            line.send(message)
            while True:
                line.recv(timeout=60)
        except ConnectionClosed as closed:
            return closed.rcvd.reason if closed.rcvd else ""


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("text", "binary"),
        (b"", "msgpack"),
        (b"\xc1", "msgpack"),
        (b"\xdd\xff\xff\xff\xff", "msgpack"),  # a list of 4 thousand million
        (b"\x91" * 5000, "msgpack"),
        (msgpack.packb([1]), "a map with a type"),
        (msgpack.packb({"type": "eval", "id": 1}), "a type of the protocol"),
        (msgpack.packb({"type": "step", "id": "x"}), "whole number"),
        ({"type": "step", "id": 1, "rows": [{"state": 10**9, "settings": DIALS}]}, "state that was begun"),
        ({"type": "step", "id": 1, "rows": []}, "rows"),
        ({"type": "correct", "id": 1, "state": "STATE", "frames": np.zeros((1, 8, 8, 3), np.uint8)}, "frames"),
        ({"type": "turn", "state": "STATE", "settings": {**DIALS, "history": 10**6}}, "history"),
        ({"type": "load", "id": 1, "model": 1, "settings": DIALS, "tree": "[", "arrays": {}}, "JSON"),
        (msgpack.packb({"type": "x", "a": {"dtype": "object", "shape": [1], "data": b"12345678"}}), "an array of"),
        (msgpack.packb({"type": "x", "a": {"dtype": "uint8", "shape": [2**26, 2**26], "data": b"1"}}), "numbers"),
    ],
)  # fmt: skip
def test_a_message_of_another_kind_ends_its_connection(served: str, message: Any, told: str) -> None:
    assert told in _closed_with(served, message)


def test_numbers_that_are_none_are_not_let_into_a_dream(served: str) -> None:
    with connect(served, compression=None) as line:
        _, state = _begun(line)
        row = {"state": state, "settings": DIALS}
        with pytest.raises(ConnectionClosed):
            _ask(line, type="step", rows=[row], action=np.full(20, np.nan, np.float32))


def test_a_state_that_was_tampered_with_is_refused_and_the_dream_goes_on(served: str) -> None:
    with connect(served, compression=None) as line:
        model, state = _begun(line)
        kept = _ask(line, type="save", state=state)
        arrays = {name: array[..., :-1] for name, array in kept["arrays"].items()}
        told = _ask(line, type="load", model=model, settings=DIALS, tree=kept["tree"], arrays=arrays)
        assert told["type"] == "refused" and "state" in told["reason"]
        row = {"state": state, "settings": DIALS}
        assert _ask(line, type="step", rows=[row], action=np.zeros(20, np.float32))["type"] == "done"


def test_seats_are_counted_and_come_free_again(served: str) -> None:
    lines = [connect(served) for _ in range(SEATS)]
    for line in lines:
        decode(line.recv())
    with pytest.raises(ConnectionClosed, match="seats"), connect(served) as late:
        late.recv()
    for line in lines:
        line.close()
    deadline = time.monotonic() + 30
    while True:
        try:
            with connect(served) as again:
                assert decode(again.recv())["type"] == "hello"
                return
        except ConnectionClosed:
            assert time.monotonic() < deadline


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_subnormal=False)
    | st.text(max_size=9)
    | st.binary(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(
                ["dtype", "shape", "data", "rows", "state", "settings", "history", "action", "future"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
KINDS = [
    "open",
    "begin",
    "step",
    "correct",
    "turn",
    "prepare",
    "prefetch",
    "save",
    "load",
    "forget",
    "hello",
    "",
]
NAMES = [
    "model",
    "state",
    "rows",
    "frames",
    "actions",
    "poses",
    "settings",
    "seed",
    "size",
    "action_spec",
    "tree",
    "arrays",
]
asked = st.builds(
    lambda kind, number, fields: {**fields, "type": kind, "id": number},
    st.sampled_from(KINDS),
    st.none() | st.integers(0, 9),
    st.dictionaries(st.sampled_from(NAMES), anything, max_size=6),
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=200) | anything.map(msgpack.packb) | asked.map(msgpack.packb))
def test_whatever_is_sent_is_a_message_or_a_message_error(data: bytes) -> None:
    try:
        found = decode(data)
        protocol.snapshot_from(found)
    except MessageError as error:
        assert str(error)


def test_other_dreams_are_undisturbed_by_hundreds_of_them(loaded: LoadedModel, served: str) -> None:
    link, expected = Link(served), Dream(WorldPredictor(loaded))
    dream = Dream(RemotePredictor(link))
    threads = threading.active_count()
    for each in (dream, expected):
        each.reset(seed=4)
    sent = 0

    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(st.binary(max_size=60) | asked.map(msgpack.packb), min_size=1, max_size=20))
    def attack(messages: list[bytes]) -> None:
        nonlocal sent
        with connect(served, compression=None) as line:
            try:
                decode(line.recv())
                for message in messages:
                    line.send(message)
                    sent += 1
                line.send(b"\xc1")  # the end, whatever was answered before
                while True:
                    line.recv(timeout=60)
            except ConnectionClosed:
                pass
        action = np.zeros(20, np.float32)
        assert np.array_equal(dream.step(action)[0], expected.step(action)[0])

    attack()
    assert sent > 100
    link.close()
    deadline = time.monotonic() + 30
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= threads
