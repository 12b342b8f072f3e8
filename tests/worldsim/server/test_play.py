"""A session over the socket is the session: the same frames, the same scores, whoever looks on."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.small_model import small_loaded
from tests.helpers.small_world import Drum, LastFrameDream
from tests.worldsim.server.conftest import Page, drum_game, serving
from worldsim.dream.env import Dream
from worldsim.dream.world import WorldPredictor
from worldsim.player.keymap import InputState, MinecraftKeymap
from worldsim.server.hosted import Game
from worldsim.server.sessions import Sessions
from worldsim.server.viewer import IN_FLIGHT, Viewer
from worldsim.session.session import Session
from worldsim.session.tick import Tick

WALK: list[tuple[tuple[str, ...], tuple[float, float]]] = [
    (("forward",), (0.0, 0.0)),
    (("look right",), (0.0, 0.0)),
    (("look right", "forward"), (0.0, 0.0)),
    ((), (200.0, 0.0)),
    ((), (-200.0, 0.0)),
    (("back",), (0.0, 0.0)),
    (("look left",), (0.0, 0.0)),
    (("look left", "back"), (0.0, 0.0)),
]


def test_a_player_is_welcomed_with_its_key_and_the_present_frame(client: Any) -> None:
    with client.websocket_connect("/play") as socket:
        page = Page(socket)
        assert page.welcome["plays"] and page.welcome["key"] and page.welcome["session"]
        header, pictures = page.until("frame")
        assert {"true world", "dream: memory"} <= set(pictures)
        assert pictures["true world"].shape == (64, 64, 3)
        assert header["dreams"][0]["retrieval"]["0-16"]["n"] == 0


def _headless(game: Game, idle: int) -> list[Any]:
    """The ticks of the same hands without a server, after some without any."""
    hands, keymap, session = InputState(), MinecraftKeymap(), game.session
    session.reset(seed=game.seed)
    ticks = []
    for _ in range(idle):
        session.step(keymap.action(hands.take(keymap.tick_rate)))
        session.prepare()
    for held, mouse in WALK:
        hands.hold(frozenset(held))
        hands.move_mouse(*mouse)
        ticks.append(session.step(keymap.action(hands.take(keymap.tick_rate))))
        session.prepare()
    return ticks


def _same_as_headless(game: Any) -> None:
    with serving(Sessions(game)) as client, client.websocket_connect("/play") as socket:
        page = Page(socket)
        page.pause()
        played = []
        for held, mouse in WALK:
            page.hold(*held, mouse=mouse)
            played.append(page.step())
    idle = played[0][0]["index"] - 1  # ticks before the pause, in which nothing was held
    for (header, pictures), tick in zip(played, _headless(game(), idle), strict=True):
        assert np.array_equal(pictures["true world"], tick.true_frame)
        view = tick.dreams["memory"]
        assert np.array_equal(pictures["dream: memory"], view.frame)
        assert header["dreams"][0]["ssim"] == round(view.ssim, 4)
        assert (header["revisit"] is None or header["revisit"]["ago"] > 0) == (tick.revisit is None)
    assert [header["hands"] for header, _ in played] == list(range(1, len(WALK) + 1))


def test_keys_over_the_socket_give_the_same_frames_and_scores_as_headless() -> None:
    _same_as_headless(drum_game)


def test_a_trained_models_dream_is_the_same_over_the_socket(tmp_path: Path) -> None:
    loaded = small_loaded(tmp_path / "small")

    class SmallDrum(Drum):
        def _look(self) -> Any:
            seen, info = super()._look()
            return {"pov": np.ascontiguousarray(seen["pov"][::2, ::2])}, info

    def game() -> Game:
        dream = Dream(WorldPredictor(loaded))
        return Game(Session(SmallDrum(), {"memory": dream}), MinecraftKeymap(), seed=3)

    _same_as_headless(game)


def test_dials_twin_and_macro_say_what_came_of_them(client: Any) -> None:
    with client.websocket_connect("/play") as socket:
        page = Page(socket)
        page.say("turn", dial="history", by=-1)
        assert page.until("state", notice="history: 48")["dials"]["history"] == [48, [8, 16, 48, 112]]
        page.say("put", dial="budget", value=16)
        assert page.until("state", notice="budget: 16")["dials"]["budget"][0] == 16
        page.say("command", name="needle")
        page.until("state", notice="there is no needle macro for this world")
        page.say("command", name="compare")
        while "dream: forgetful" not in page.until("frame")[1]:
            pass
        page.say("command", name="record")
        page.until("state", recording=True)
        page.say("command", name="record")
        assert page.until("state", recording=False, notice="recorded episode.zip")["files"] == ["episode.zip"]


def test_a_lost_connection_pauses_and_the_key_brings_the_session_back(client: Any) -> None:
    with client.websocket_connect("/play") as socket:
        first = Page(socket)
        first.hold("look right")
        while (before := first.until("frame")[0])["index"] < 2:
            pass
    told = first.welcome
    with client.websocket_connect(f"/play?session={told['session']}&key={told['key']}") as socket:
        again = Page(socket)
        assert again.welcome["plays"] and again.welcome["trace"]
        assert before["index"] <= again.until("frame")[0]["index"] <= before["index"] + 6


def test_a_hidden_page_stands_still(client: Any) -> None:
    with client.websocket_connect("/play") as socket:
        page = Page(socket)
        page.say("hidden", hidden=True)
        page.until("state", paused=True)
        page.say("hidden", hidden=False)
        page.until("state", paused=False)


def test_spectators_see_and_cannot_play(client: Any) -> None:
    with client.websocket_connect("/play") as socket:
        page = Page(socket)
        with client.websocket_connect(f"/play?session={page.welcome['session']}&watch=1") as other:
            watching = Page(other)
            assert not watching.welcome["plays"]
            assert "key" not in watching.welcome
            watching.say("command", name="pause")
            page.say("turn", dial="budget", by=-1)
            assert watching.until("state", notice="budget: 32")["paused"] is False
            assert watching.until("frame")[1].keys() >= {"true world"}


class Counted:
    """A sink that counts; the disk is full from its fourth tick on, if it is to be."""

    def __init__(self, full: bool = False) -> None:
        self.indices: list[int] = []
        self.full = full

    def add(self, tick: Tick) -> None:
        if self.full and len(self.indices) == 3:
            raise OSError(28, "the disk is full")
        self.indices.append(tick.index)


def test_sinks_take_every_tick_are_finished_once_and_a_full_disk_ends_one_of_them() -> None:
    counted, full, finished = Counted(), Counted(full=True), list[str]()

    def game() -> Game:
        session = Session(Drum(), {"memory": LastFrameDream()})
        sinks, end = (counted, full), lambda: finished.append("now")
        return Game(session, MinecraftKeymap(), sinks=sinks, finish=end, limit=8)

    sessions = Sessions(game, keep=0.0)
    with serving(sessions) as client:
        with client.websocket_connect("/play") as socket:
            page = Page(socket)
            while page.until("frame")[0]["index"] < 8:
                pass
        while sessions.find(page.welcome["session"]) is not None:
            time.sleep(0.01)
        sessions.sweep()
    assert counted.indices == list(range(9)) and full.indices == [0, 1, 2] and finished == ["now"]


def test_a_bookmark_is_offered_and_gone_back_to_while_paused(tmp_path: Path) -> None:
    def game() -> Game:
        return Game(Session(Drum(), {}, bookmarks=tmp_path), MinecraftKeymap(), seed=3)

    with serving(Sessions(game)) as client, client.websocket_connect("/play") as socket:
        page = Page(socket)
        page.pause()
        page.hold("look right")
        page.step()
        page.say("command", name="bookmark")
        (name,) = page.until("state", notices=2)["files"]
        assert (
            client.get(f"/files/{page.welcome['session']}/{name}").content == (tmp_path / name).read_bytes()
        )
        kept, pictures = page.step()
        page.step()
        page.say("command", name="back")
        header, _ = page.until("frame")
        assert header["index"] == kept["index"] - 1
        page.hold("look right")
        assert np.array_equal(page.step()[1]["true world"], pictures["true world"])


def test_who_falls_behind_misses_pictures_and_gets_the_newest() -> None:
    async def watched() -> list[Any]:
        viewer = Viewer(asyncio.get_running_loop(), plays=True)
        got = []
        for number in range(1, 11):
            viewer.offer(number, b"%d" % number)
            if number <= IN_FLIGHT:
                got.append(await viewer.next())
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(viewer.next(), 0.05)
        viewer.shown(IN_FLIGHT)
        got.append(await viewer.next())
        return got

    assert asyncio.run(watched()) == [b"1", b"2", b"10"]
