"""Who is not let in, what is not read, and what is not told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.websockets import WebSocketDisconnect

from tests.worldsim.server.conftest import HERE, Page, drum_game, serving
from worldsim.cli.options import OptionError, parse
from worldsim.server import messages
from worldsim.server.messages import MOST_BYTES, MessageError
from worldsim.server.publisher import _FOLDERS
from worldsim.server.sessions import Sessions
from worldsim.server.viewer import Allowance


def _refused(client: Any, path: str = "/play", **headers: str) -> None:
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(path, headers=headers):
        pass


def _told(client: Any, path: str) -> str:
    with client.websocket_connect(path) as socket:
        return str(json.loads(socket.receive_text())["reason"])


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "10.0.0.1", "a@127.0.0.1", ""]
)
def test_a_strange_name_is_refused_because_of_rebinding(client: Any, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 403
    _refused(client, host=host, origin=f"http://{host}")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:9", "null", "file://127.0.0.1:8765"]
)
def test_another_sites_page_gets_no_socket(client: Any, origin: str) -> None:
    _refused(client, origin=origin)


def test_through_a_tunnel_the_port_is_another_one(client: Any) -> None:
    answer = client.get("/", headers={"host": "localhost:1234", "origin": "http://localhost:1234"})
    assert answer.status_code == 200
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_where_there_is_a_token_nothing_is_told_without_it() -> None:
    with serving(Sessions(drum_game), token="secret", local=False) as client:
        assert client.get("/").status_code == 403
        assert client.get("/?token=wrong").status_code == 403
        assert client.get("/?token=secret").status_code == 200
        assert client.get("/app.js").status_code == 200
        _refused(client)
        _refused(client, "/play?token=secre")
        with client.websocket_connect("/play?token=secret") as socket:
            Page(socket)


@pytest.mark.parametrize(
    "path", ["/../app.py", "/%2e%2e/app.py", "/page/app.js", "/files/x/..%2f..%2fapp.py", "/files/x/y"]
)
def test_no_file_outside_the_page_is_served(client: Any, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_second_player_is_told_so(client: Any) -> None:
    with client.websocket_connect("/play") as socket:
        session = Page(socket).welcome["session"]
        assert "has its player" in _told(client, f"/play?session={session}")
        assert "has its player" in _told(client, f"/play?session={session}&key=wrong")


def test_one_session_too_many_is_told_the_limit(client: Any) -> None:
    with client.websocket_connect("/play") as one, client.websocket_connect("/play") as two:
        assert Page(one).welcome["session"] != Page(two).welcome["session"]
        assert "all 2 sessions" in _told(client, "/play")


def test_a_session_that_is_over_is_told_so_and_its_seat_is_free_again() -> None:
    sessions = Sessions(drum_game, most=1, keep=0.0)
    with serving(sessions) as client:
        with client.websocket_connect("/play") as socket:
            session = Page(socket).welcome["session"]
        sessions.sweep()
        assert _told(client, f"/play?session={session}&watch=1") == "that session is over"
        with client.websocket_connect("/play") as socket:
            Page(socket)


@pytest.mark.parametrize(
    "text", ["x" * (MOST_BYTES + 1), "{", "[]", '{"type":"eval"}', '{"type":"hands","number":NaN}']
)
def test_a_message_of_another_kind_ends_the_socket_and_nothing_else(client: Any, text: str) -> None:
    with client.websocket_connect("/play") as good, client.websocket_connect("/play") as bad:
        page = Page(good)
        bad.send_text(text)
        with pytest.raises(WebSocketDisconnect):
            while bad.receive()["type"] != "websocket.close":
                pass
            raise WebSocketDisconnect
        page.say("turn", dial="budget", by=-1)
        page.until("state", notice="budget: 32")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_subnormal=False) | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["type", "held", "number", "stick", "mouse", "dial", "by", "value", "name"]),
                inner,
            )
        ),
    ),
    st.sampled_from(["hands", "command", "turn", "put", "hidden", "shown", ""]),
)
def test_whatever_is_sent_is_a_message_or_a_message_error(found: Any, kind: str) -> None:
    told = {**found, "type": kind} if isinstance(found, dict) else found
    try:
        messages.parse(json.dumps(told))
    except MessageError as error:
        assert str(error)


def test_messages_are_allowed_at_a_rate() -> None:
    allowance = Allowance(rate=1e-9, burst=3)
    assert [allowance.take() for _ in range(5)] == [True, True, True, False, False]


@pytest.mark.parametrize(
    "notice, told",
    [
        ("recorded /home/a user/rec/x.zip", "recorded x.zip"),
        ("saved C:\\Users\\u\\v.mp4", "saved v.mp4"),
        ("history: 48", "history: 48"),
    ],
)
def test_no_folder_of_the_users_is_told(notice: str, told: str) -> None:
    assert _FOLDERS.sub("", notice) == told


@pytest.mark.parametrize(
    "words",
    [
        ["--host", "0.0.0.0"],
        ["--browser", "--headless"],
        ["--browser", "--sessions", "0"],
        ["--browser", "--port", "70000"],
        ["--browser", "--replay", "episode.zip", "--sessions", "2"],
        ["--replay", "episode.zip", "--bookmark", "kept.safetensors"],
    ],
)
def test_words_that_do_not_go_together_are_refused(words: list[str]) -> None:
    with pytest.raises(OptionError):
        parse(["--env", "minecraft", *words])


def test_the_address_of_this_test_is_local() -> None:
    from worldsim.server.serve import Address

    assert Address().local and HERE.startswith("http://127.0.0.1")
    assert not Address("0.0.0.0").local and not Address(names=("play.example",)).local
