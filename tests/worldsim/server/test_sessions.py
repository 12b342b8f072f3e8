"""Beginning and ending sessions: whatever fails, all that was opened for them is closed, and sinks get every tick."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.small_world import Drum, LastFrameDream
from worldsim.player.keymap import MinecraftKeymap
from worldsim.server import publisher
from worldsim.server.hosted import Game, HostedSession
from worldsim.server.sessions import Sessions
from worldsim.server.viewer import Viewer
from worldsim.session.session import Session
from worldsim.session.sinks.video import VideoWriter
from worldsim.session.tick import Tick


class FullDrum(Drum):
    """A world whose recording cannot be sealed, or which cannot even begin."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at = at

    def reset(self, **words: Any) -> Any:
        if self.at == "reset":
            raise OSError(28, "no space left for the reset")
        return super().reset(**words)

    def close(self) -> None:
        super().close()
        if self.at:
            raise OSError(28, f"no space left, {self.at}")


@pytest.mark.parametrize("end", ["sweep", "close"])
def test_a_session_that_cannot_be_closed_keeps_no_other_one_open(end: str) -> None:
    worlds, finished = list[FullDrum](), list[int]()

    def game() -> Game:
        worlds.append(FullDrum(["first", "", "third"][len(worlds)]))
        number = len(worlds)
        return Game(Session(worlds[-1], {}), MinecraftKeymap(), finish=lambda: finished.append(number))

    sessions = Sessions(game, most=3, keep=0.0)
    hosted = [sessions.create() for _ in range(3)]
    time.sleep(0.01)  # they have been without a player for longer than they are kept
    with pytest.raises(OSError, match="first"):
        getattr(sessions, end)()
    assert all(world.closed for world in worlds) and finished == [1, 2, 3]
    assert all(each.ended for each in hosted)
    getattr(sessions, end)()  # nothing is left to close


def test_sinks_are_finished_where_the_recording_cannot_be_sealed(tmp_path: Path) -> None:
    video = VideoWriter(tmp_path / "v.mp4", 20)
    session = Session(FullDrum("close"), {})
    hosted = HostedSession(Game(session, MinecraftKeymap(), sinks=(video,), finish=video.close))
    with pytest.raises(OSError, match="no space left"):
        hosted.close()
    assert video._process.poll() == 0 and (tmp_path / "v.mp4").stat().st_size > 0


def test_a_session_that_cannot_begin_closes_its_world_and_finishes_its_sinks() -> None:
    worlds, finished = list[FullDrum](), list[str]()

    def game() -> Game:
        worlds.append(FullDrum("reset"))
        return Game(Session(worlds[-1], {}), MinecraftKeymap(), finish=lambda: finished.append("now"))

    sessions = Sessions(game, most=1)
    for begin in (sessions.prepare, sessions.create):
        with pytest.raises(OSError, match="for the reset"):  # and not what came of closing it
            begin()
    assert [world.closed for world in worlds] == [True, True] and finished == ["now", "now"]


class SlowDream(LastFrameDream):
    """Says when a step has begun that takes a while."""

    def __init__(self) -> None:
        super().__init__()
        self.stepping = threading.Event()

    def step(self, action: Any) -> Any:
        self.stepping.set()
        time.sleep(0.15)
        return super().step(action)


class Indices:
    """A sink that takes so many seconds for a tick."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.indices, self.seconds = list[int](), seconds

    def add(self, tick: Tick) -> None:
        time.sleep(self.seconds)
        self.indices.append(tick.index)


def test_the_step_that_is_under_way_at_the_end_reaches_the_sinks() -> None:
    dream: Any = SlowDream()
    world, sink = Drum(), Indices()
    hosted = HostedSession(Game(Session(world, {"memory": dream}), MinecraftKeymap(), sinks=(sink,)))

    async def play() -> None:
        hosted.join(Viewer(asyncio.get_running_loop(), plays=True))
        await asyncio.to_thread(dream.stepping.wait)
        await asyncio.to_thread(hosted.close)

    asyncio.run(play())
    assert world.steps and sink.indices == list(range(world.steps + 1))


def test_sinks_that_are_far_behind_do_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "REST", 0.1)
    world, sink = Drum(), Indices(seconds=0.05)
    hosted = HostedSession(Game(Session(world, {}), MinecraftKeymap(), sinks=(sink,), tick_rate=1000))

    async def play() -> None:
        hosted.join(Viewer(asyncio.get_running_loop(), plays=True))
        while world.steps < 100:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(hosted.close)

    asyncio.run(play())
    assert world.closed and len(sink.indices) < world.steps
