"""The window, on SDL's dummy video driver: keys in, ticks on the screen."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["SDL_VIDEODRIVER"] = "dummy"
os.environ["SDL_AUDIODRIVER"] = "dummy"

import gymnasium
import numpy as np
import pygame
import pytest

from tests.helpers.small_world import Drum, LastFrameDream, NoteRecorder, act
from worldsim.player import hud
from worldsim.player import key_bindings as key_file
from worldsim.player.instant_replay import InstantReplay
from worldsim.player.keymap import DMLabKeymap, InputState, Intent, MinecraftKeymap
from worldsim.player.loop import Player
from worldsim.player.scoreboard import Scoreboard
from worldsim.player.stepper import Stepper
from worldsim.player.window import HUD_HEIGHT, SIZE, Window, layout
from worldsim.session.dreams import NO_DREAM
from worldsim.session.session import Session
from worldsim.session.sinks.video import VideoWriter
from worldsim.session.tick import Tick


def _session(**options: Any) -> Session:
    return Session(
        Drum(), {"memory": LastFrameDream()}, twin=LastFrameDream, recorder=NoteRecorder(), **options
    )


# -- keymap ----------------------------------------------------------------------------------------


def test_minecraft_actions_are_mine_rls_dictionary() -> None:
    action = MinecraftKeymap().action(Intent(frozenset({"forward", "jump"}), yaw=6, pitch=-3))
    assert Drum.action_space.contains(action)
    assert action["forward"] == action["jump"] == 1
    assert action["camera"].tolist() == [-3, 6]


def test_dmlab_actions_are_deepmind_labs_seven_integers_with_up_positive() -> None:
    action = DMLabKeymap().action(Intent(frozenset({"back", "right", "attack"}), yaw=6, pitch=-3))
    assert action.tolist() == [100, 50, 1, -1, 1, 0, 0]
    assert action.dtype == np.int32


@pytest.mark.parametrize("keymap", [MinecraftKeymap(), DMLabKeymap()])
def test_the_hud_reads_back_what_the_keys_said(keymap: Any) -> None:
    wanted = Intent(frozenset({"forward", "left", "sneak"}), yaw=12.0, pitch=-6.0)
    found = keymap.intent(keymap.action(wanted))
    assert found.held == wanted.held
    assert (found.yaw, found.pitch) == pytest.approx((12.0, -6.0), abs=0.04)


def test_mouse_motion_adds_up_until_it_is_taken() -> None:
    hands = InputState(mouse_degrees=0.1)
    hands.move_mouse(30, 0)
    hands.move_mouse(20, -10)
    assert (hands.take(20).yaw, hands.take(20).yaw) == (pytest.approx(5.0), 0.0)


def test_a_held_arrow_turns_at_its_rate_whatever_the_tick_rate() -> None:
    hands = InputState(turn_rate=120)
    hands.hold(frozenset({"look right"}))
    assert hands.take(20).yaw == pytest.approx(6)
    assert hands.take(15).yaw == pytest.approx(8)


def test_a_tap_between_two_ticks_counts_once() -> None:
    hands = InputState()
    hands.tap("jump")
    assert hands.take(20).held == {"jump"}
    assert hands.take(20).held == frozenset()


# -- window and HUD --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [SIZE, (900, 650), (1920, 1080)])
@pytest.mark.parametrize("panes", [2, 3])
@pytest.mark.parametrize("side", [64, 128])
def test_nothing_overlaps_and_pictures_are_whole_multiples(
    size: tuple[int, int], panes: int, side: int
) -> None:
    places = layout(size, panes, side)
    window = pygame.Rect((0, 0), size)
    rects = [*places.panes, places.hud, places.status]
    assert all(window.contains(r) for r in rects)
    assert not any(a.colliderect(b) for i, a in enumerate(rects) for b in rects[i + 1 :])
    assert all(r.width == r.height and r.width % side == 0 for r in places.panes)
    assert places.hud.height == HUD_HEIGHT


SIZES = [
    (1, 1),
    (2, 900),
    (40, 40),
    (100, 100),
    (200, 3000),
    (560, 400),
    (640, 300),
    (1920, 120),
    (3840, 2160),
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("panes", [1, 2, 3])
def test_a_window_of_any_size_shows_the_pictures(size: tuple[int, int], panes: int) -> None:
    places = layout(size, panes, 64)
    window = pygame.Rect((0, 0), size)
    rects = [r for r in (*places.panes, places.hud, places.status) if r.height]
    assert all(r.width == r.height >= 1 for r in places.panes)
    if min(size) >= 16:
        assert all(window.contains(r) for r in rects)
        assert not any(a.colliderect(b) for i, a in enumerate(rects) for b in rects[i + 1 :])


@pytest.mark.parametrize("size", SIZES)
def test_a_window_of_any_size_is_drawn(size: tuple[int, int]) -> None:
    session = _session()
    session.controls.set_compare(True)
    board = Scoreboard(session.reset(seed=1))
    for yaw in (90, -90, 90, -90):
        board.add(session.step(act(yaw=yaw)))
    window = Window("test", size)
    try:
        places = layout(size, 3, 64)
        window.draw_worlds(board.tick, places, paused=True)
        for keys in ((), ("left", "space")):
            hud.draw(window.screen, places.hud, board, Intent(frozenset({"forward"}), 90, 0), keys)
        window.draw_status(places.status, "a notice")
        window.draw_help()
        middle = places.panes[0].center
        assert size == (1, 1) or window.screen.get_rect().collidepoint(middle)
    finally:
        window.close()


@pytest.fixture
def window() -> Iterator[Window]:
    made = Window("test")
    yield made
    made.close()


def test_the_true_frame_and_the_dream_are_on_the_screen_as_they_are(window: Window) -> None:
    session = _session()
    session.reset(seed=1)
    tick = session.step(act(yaw=90))
    places = layout(window.screen.get_size(), 2, 64)
    window.draw_worlds(tick, places, paused=False)
    hud.draw(window.screen, places.hud, Scoreboard(tick), Intent(frozenset({"forward"}), 90, 0))
    for rect, frame in zip(places.panes, (tick.true_frame, tick.dreams["memory"].frame), strict=True):
        zoom = rect.width // 64
        shown = pygame.surfarray.array3d(window.screen.subsurface(rect)).swapaxes(0, 1)
        assert np.array_equal(shown[zoom // 2 :: zoom, zoom // 2 :: zoom], frame)


def test_the_scoreboard_keeps_settings_apart_and_the_last_revisit() -> None:
    session = _session()
    board = Scoreboard(session.reset(seed=1))
    for yaw in (90, -90, 90, -90):
        board.add(session.step(act(yaw=yaw)))
    assert board.tally("memory").count("0-16") == 3
    assert board.returned is board.tick
    session.controls.set_history(16)
    board.add(session.step(act(yaw=40)))
    assert (board.scored("memory").history, board.tally("memory").count("0-16")) == (112, 3)
    assert board.badge_age == 1
    board.add(session.step(act(yaw=-40)))
    assert (board.scored("memory").history, board.tally("memory").count("0-16")) == (16, 1)
    assert [ago for ago, _ in board.trace("memory")] == [5, 4, 3, 2, 1, 0]


# -- stepper ---------------------------------------------------------------------------------------


class TurnAwayAndBack:
    """A macro: 30 frames away, 30 frames back."""

    def __init__(self) -> None:
        self.given, self.frames_left = 0, None

    def __call__(self, observation: Any, info: dict[str, Any]) -> Any:
        if self.given == 60:
            return None
        self.given += 1
        self.frames_left = 61 - self.given if self.given > 30 else None
        return act(yaw=4.0 if self.given <= 30 else -4.0)


def _run(stepper: Stepper) -> list[Tick]:
    stepper.start()
    stepper.join(20)
    assert not stepper.is_alive()
    assert stepper.error is None
    ticks = []
    while not stepper.ticks.empty():
        ticks.append(stepper.ticks.get())
    return ticks


def test_the_needle_macro_plays_with_true_history_and_dreams_its_last_16_frames_blind() -> None:
    session = _session(history_from="dream")
    session.reset()
    stepper = Stepper(session, lambda rate: act(), rate=1000, limit=65)
    stepper.play_macro("needle", TurnAwayAndBack)
    ticks = _run(stepper)
    views = [t.dreams["memory"] for t in ticks]
    assert [v.history_from for v in views] == ["true"] * 60 + ["dream"] * 5
    assert [v.blind for v in views[44:60]] == list(range(1, 17))
    assert ticks[59].revisit is not None
    assert ticks[59].revisit.age == 59  # 4 degrees before the first view is the same view


def test_a_policy_that_ends_ends_the_run() -> None:
    session = _session()
    session.reset()
    actions = iter([act(yaw=1), act(yaw=2)])
    ticks = _run(
        Stepper(session, lambda rate: act(), 1000, make_policy=lambda info: lambda o, i: next(actions))
    )
    assert len(ticks) == 2


def test_an_error_in_the_dream_is_kept_and_ends_the_thread() -> None:
    session = _session()
    session.reset()

    def broken(rate: float) -> Any:
        raise RuntimeError("the dream broke")

    stepper = Stepper(session, broken, rate=1000)
    stepper.start()
    stepper.join(5)
    assert str(stepper.error) == "the dream broke"


def test_in_a_pause_time_stands_and_one_step_is_one_tick() -> None:
    session = _session()
    session.reset()
    stepper = Stepper(session, lambda rate: act(), rate=500)
    stepper.paused.set()
    stepper.start()
    time.sleep(0.1)
    assert stepper.ticks.empty()
    session.controls.set_budget(8)  # a dial turns in a pause too
    stepper.step_once()
    tick = stepper.ticks.get(timeout=5)
    time.sleep(0.1)
    stepper.stop()
    assert stepper.ticks.empty()
    assert tick.dreams["memory"].budget == 8


# -- the whole player ------------------------------------------------------------------------------


def _press(*keys: int) -> None:
    for key in keys:
        _post(pygame.KEYDOWN, key=key)
        _post(pygame.KEYUP, key=key)


def _post(kind: int, **what: Any) -> None:
    pygame.event.post(pygame.event.Event(kind, **what))


class Script:
    """A sink that does one thing after another, each as soon as a tick shows what the one before led to."""

    def __init__(self, *plan: tuple[Callable[[], None], Callable[[Tick], object]]) -> None:
        self.todo = list(plan)
        self.until: Callable[[Tick], object] = lambda tick: True

    def add(self, tick: Tick) -> None:
        if self.todo and self.until(tick):
            do, self.until = self.todo.pop(0)
            do()


def _play(session: Session, script: Script, folder: Path) -> None:
    player = Player(session, MinecraftKeymap(), tick_rate=50, sinks=(script,), clips=folder, limit=600)
    player.run(seed=1)
    assert not script.todo


def _dream(tick: Tick) -> Any:
    return tick.dreams["memory"]


def test_keys_do_what_the_help_says(tmp_path: Path) -> None:
    never = lambda tick: False  # noqa: E731
    script = Script(
        (lambda: _post(pygame.KEYDOWN, key=pygame.K_w), lambda t: t.action["forward"]),
        (lambda: _post(pygame.KEYUP, key=pygame.K_w), lambda t: not t.action["forward"]),
        (lambda: _press(pygame.K_r), lambda t: t.recording),
        (lambda: _press(pygame.K_c), lambda t: list(t.dreams) == ["memory", "forgetful"]),
        (lambda: _press(pygame.K_h), lambda t: _dream(t).history_from == "true"),
        (lambda: _press(pygame.K_LEFTBRACKET), lambda t: _dream(t).history == 48),
        (lambda: _press(pygame.K_RIGHTBRACKET), lambda t: _dream(t).history == 112),
        (lambda: _press(pygame.K_MINUS), lambda t: _dream(t).budget == 32),
        (lambda: _press(pygame.K_EQUALS), lambda t: _dream(t).budget == 48),
        (lambda: _press(pygame.K_PERIOD), lambda t: _dream(t).steps == 3),
        (lambda: _press(pygame.K_COMMA), lambda t: _dream(t).steps == 2),
        (lambda: _press(pygame.K_h), lambda t: _dream(t).blind > 16),
        (lambda: _press(pygame.K_x), lambda t: _dream(t).blind < 16),
        (lambda: _press(pygame.K_c), lambda t: list(t.dreams) == ["memory"]),
        (lambda: _press(pygame.K_r), lambda t: not t.recording),
        (lambda: _press(pygame.K_F1, pygame.K_F1, pygame.K_v, pygame.K_ESCAPE), never),
    )
    _play(_session(), script, tmp_path)
    assert len(list(tmp_path.glob("*.mp4"))) == 1


def _key(kind: int, key: int, place: int) -> None:
    _post(kind, key=key, scancode=place)


CYRILLIC_TSE = 0x446  # what the key of W says in a Russian layout


@pytest.mark.parametrize(
    ("key", "place", "move"),
    [
        (pygame.K_w, pygame.KSCAN_W, "forward"),
        (pygame.K_z, pygame.KSCAN_W, "forward"),  # AZERTY
        (pygame.K_q, pygame.KSCAN_A, "left"),
        (CYRILLIC_TSE, pygame.KSCAN_W, "forward"),
        (pygame.K_o, pygame.KSCAN_S, "back"),  # Dvorak
    ],
)
def test_keys_play_by_their_place_whatever_is_printed_there(
    key: int, place: int, move: str, tmp_path: Path
) -> None:
    script = Script(
        (lambda: _key(pygame.KEYDOWN, key, place), lambda t: t.action[move]),
        (lambda: _key(pygame.KEYUP, key, place), lambda t: not t.action[move]),
        (lambda: _press(pygame.K_ESCAPE), lambda t: False),
    )
    _play(_session(), script, tmp_path)


def test_up_is_up_whatever_the_layout_became(tmp_path: Path) -> None:
    script = Script(
        (lambda: _key(pygame.KEYDOWN, pygame.K_w, pygame.KSCAN_W), lambda t: t.action["forward"]),
        (lambda: _key(pygame.KEYUP, CYRILLIC_TSE, pygame.KSCAN_W), lambda t: not t.action["forward"]),
        (lambda: _press(pygame.K_ESCAPE), lambda t: False),
    )
    _play(_session(), script, tmp_path)


def test_dials_turn_by_place_and_by_keys_that_every_layout_has(tmp_path: Path) -> None:
    umlaut = 0xFC  # what a German keyboard has at [
    script = Script(
        (lambda: _key(pygame.KEYDOWN, umlaut, pygame.KSCAN_LEFTBRACKET), lambda t: _dream(t).history == 48),
        (lambda: _press(pygame.K_F6), lambda t: _dream(t).history == 112),
        (lambda: _press(pygame.K_F5), lambda t: _dream(t).history == 48),
        (lambda: _press(pygame.K_F7), lambda t: _dream(t).budget == 32),
        (lambda: _press(pygame.K_F8), lambda t: _dream(t).budget == 48),
        (lambda: _press(pygame.K_F10), lambda t: _dream(t).steps == 3),
        (lambda: _press(pygame.K_F9), lambda t: _dream(t).steps == 2),
        (lambda: _press(pygame.K_ESCAPE), lambda t: False),
    )
    _play(_session(), script, tmp_path)


def test_input_methods_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[bool] = []
    monkeypatch.setattr(
        pygame.key, "stop_text_input", lambda: said.append(pygame.display.get_surface() is not None)
    )
    Window("test").close()
    assert said == [True], "once there is a window, with which text input begins"


def test_the_vertical_axis_can_be_turned_round_and_arrows_stay_what_they_are() -> None:
    plain, turned = InputState(mouse_degrees=1.0), InputState(mouse_degrees=1.0, invert_y=True)
    for hands in (plain, turned):
        hands.move_mouse(3, 5)
    assert plain.take(20).pitch == 5 == -turned.take(20).pitch
    for hands in (plain, turned):
        hands.hold(frozenset(), (0.0, 1.0))
    assert plain.take(20).pitch == -turned.take(20).pitch > 0
    for hands in (plain, turned):
        hands.hold(frozenset({"look up"}))
    assert plain.take(20).pitch == turned.take(20).pitch < 0


def test_two_clips_of_one_second_are_two_files(tmp_path: Path) -> None:
    session, told = _session(), []
    replay = InstantReplay(20, tmp_path, told.append)
    replay.add(session.reset(seed=1))
    for _ in range(3):
        replay.add(session.step(act()))
    for _ in range(3):
        replay.save()
    replay.wait()
    assert len(list(tmp_path.glob("worldsim-*.mp4"))) == 3 == len(set(told))


def test_a_clip_that_is_given_up_is_not_written_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, told, written = _session(), [], list[Tick]()
    replay, begun = InstantReplay(20, tmp_path, told.append), threading.Event()
    replay.add(session.reset(seed=1))
    for _ in range(300):
        replay.add(session.step(act()))

    def slow(video: VideoWriter, tick: Tick) -> None:
        written.append(tick)
        begun.set()
        time.sleep(0.01)

    monkeypatch.setattr(VideoWriter, "add", slow)
    replay.save()
    assert begun.wait(60)
    replay.drop()
    assert len(written) < 300 and not told and not replay.saving


def test_a_world_that_waits_takes_no_step_without_a_key_and_one_for_each(tmp_path: Path) -> None:
    keymap = key_file.KeyFile(gymnasium.spaces.Discrete(3), [(["1"], 0), (["2"], 1)], waits=True)
    ticks: list[Tick] = []
    session = Session(_Counter(), {})
    player = Player(
        session,
        keymap,
        tick_rate=50,
        sinks=(type("Sink", (), {"add": lambda s, t: ticks.append(t)})(),),
        limit=3,
    )
    keys = [pygame.K_1, pygame.K_2, pygame.K_1]
    frame, idle, pressed = player._frame, [0], [0]

    def spaced() -> None:
        assert len(ticks) <= 1 + pressed[0], "one for the reset, and one for every key before"
        idle[0] = idle[0] + 1 if len(ticks) == 1 + pressed[0] else 0
        if idle[0] == 12:  # a fifth of a second in which nothing happened
            _press(keys[pressed[0]])
            pressed[0] += 1
        frame()

    player._frame = spaced  # type: ignore[method-assign]
    player.run(seed=1)
    assert [t.action for t in ticks] == [None, 0, 1, 0]


def test_escape_first_lets_the_mouse_go_and_then_leaves(tmp_path: Path) -> None:
    def click() -> None:
        _post(pygame.MOUSEBUTTONDOWN, button=1)
        _post(pygame.MOUSEBUTTONUP, button=1)

    seen: list[bool] = []
    script = Script(
        (click, lambda t: len(seen) > 5),
        (click, lambda t: t.action["attack"]),
        (lambda: _press(pygame.K_ESCAPE), lambda t: len(seen) > 20),
        (lambda: _press(pygame.K_ESCAPE), lambda t: False),
    )
    add = script.add

    def count(tick: Tick) -> None:
        seen.append(bool(tick.action and tick.action["attack"]))
        add(tick)

    script.add = count  # type: ignore[method-assign]
    _play(_session(), script, tmp_path)
    assert not any(seen[:5])  # the click that captures the mouse is no attack


class _Counter(gymnasium.Env[Any, Any]):
    """A world of three actions and no dream."""

    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        return {"pov": np.zeros((64, 64, 3), np.uint8)}, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return {"pov": np.full((64, 64, 3), 50 * int(action), np.uint8)}, 0.0, False, False, {}


def test_keys_of_a_file_play_a_world_alone_and_dials_say_that_no_dream_plays(tmp_path: Path) -> None:
    (file := tmp_path / "keys.yaml").write_text("keys: {left: 1, r: 2}")  # r then no longer records
    keymap = key_file.read(file, gymnasium.spaces.Discrete(3))
    script = Script(
        (lambda: _post(pygame.KEYDOWN, key=pygame.K_LEFT), lambda t: t.action == 1),
        (lambda: _post(pygame.KEYUP, key=pygame.K_LEFT), lambda t: t.action == 0),
        (lambda: _post(pygame.KEYDOWN, key=pygame.K_r), lambda t: t.action == 2),
        (lambda: _press(pygame.K_F1, pygame.K_c), lambda t: player._notice == NO_DREAM),
        (lambda: _press(pygame.K_ESCAPE, pygame.K_ESCAPE), lambda t: False),
    )
    session = Session(_Counter(), {})
    player = Player(session, keymap, tick_rate=50, sinks=(script,), clips=tmp_path, limit=600)
    player.run(seed=1)
    assert not script.todo


def test_a_key_that_no_keyboard_has_is_refused() -> None:
    keymap = key_file.KeyFile(gymnasium.spaces.Discrete(2), [(["warp"], 1)])
    with pytest.raises(ValueError, match="no key is called 'warp'"):
        Player(Session(_Counter(), {}), keymap).run()


def test_an_error_of_the_dream_reaches_the_caller_and_closes_the_window() -> None:
    class Broken(LastFrameDream):
        def step(self, action: Any) -> Any:
            raise RuntimeError("the dream broke")

    with pytest.raises(RuntimeError, match="the dream broke"):
        Player(Session(Drum(), {"memory": Broken()}), MinecraftKeymap()).run()
    assert not pygame.display.get_init()


def test_where_the_video_breaks_its_reason_is_told_and_all_is_closed(tmp_path: Path) -> None:
    class Slow(LastFrameDream):
        def step(self, action: Any) -> Any:
            time.sleep(0.05)  # so that a tick waits to be taken
            return super().step(action)

    video = VideoWriter(tmp_path / "a.mp4", 20)
    session = Session(Drum(), {"memory": Slow()}, bookmarks=tmp_path / "bookmarks")
    player = Player(
        session, MinecraftKeymap(), sinks=(video,), make_policy=lambda info: lambda o, i: act(), limit=400
    )
    threading.Timer(1.0, video._process.kill).start()
    with pytest.raises(OSError, match="the video could not be written"):
        player.run(seed=1)
    assert not pygame.display.get_init()
