"""One run from beginning to end: its sinks, with a window or without, and what it leaves behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worldsim.cli.command import say
from worldsim.cli.keymaps import keymap
from worldsim.cli.options import OptionError, Options
from worldsim.player.keymap import Keymap
from worldsim.session.session import Session
from worldsim.session.sinks.replay_check import ReplayCheck
from worldsim.session.sinks.report import Report
from worldsim.session.sinks.video import VideoWriter

if TYPE_CHECKING:
    from worldsim.metrics.perceptual import Perceptual

MakePolicy = Callable[[dict[str, Any]], Callable[[Any, dict[str, Any]], Any]]


@dataclass(frozen=True)
class Played:
    """A session that is not yet reset, who plays it (None: the player's hands), its needle macro, and its reset."""

    session: Session
    make_policy: MakePolicy | None
    make_macro: Callable[[], Any]
    seed: int | None
    reset_options: dict[str, Any] | None = None


def run(
    options: Options,
    session: Session,
    *,
    make_policy: MakePolicy | None,
    make_macro: Callable[[], Any],
    about: dict[str, Any],
    seed: int | None,
    reset_options: dict[str, Any] | None = None,
    check: ReplayCheck | None = None,
    networks: Perceptual | None = None,
) -> None:
    """Play ``session`` as ``options`` say; whatever ends it, the world is closed and the sinks are finished.

    Args:
        make_policy: makes who plays from the reset's ``info``; None for the player's hands.
        make_macro: makes the needle macro from the present moment.
        about: the head of the report.
        seed, reset_options: of the session's reset.
        check: compares a replay with its recording.
        networks: of LPIPS, where the report is to have it.

    Raises:
        OSError: the video or the report can not be written.
    """
    keys = keymap(options, session.env.unwrapped)
    if keys.waits and options.from_keyboard and os.environ.get("SDL_VIDEODRIVER") == "dummy":
        raise OptionError(
            f"{options.env} waits for a key, and SDL_VIDEODRIVER=dummy has none; give --headless, or --policy random"
        )
    rate = options.config.tick_rate or keys.tick_rate
    if networks is not None:
        about = about | {"perceptual": {"lpips": networks.origin["lpips_alex"]}}
    report = Report(about, networks.lpips if networks else None)
    try:
        if options.report:
            options.report.open("a").close()  # says now, and not after the run, that it can not be written
        video = VideoWriter(options.video, rate) if options.video else None
        sinks = [sink for sink in (report, video, check) if sink is not None]
        if options.compare:
            session.controls.set_compare(True)

        def finish() -> None:
            try:
                _finish(options, report, video, check)
            finally:  # the world stays open: one that draws with SDL too would wait for the display
                getattr(session.env, "seal", lambda: None)()

        try:
            if options.headless:
                _play_headless(options, session, make_policy, sinks, seed, reset_options)
            else:
                _play_in_window(
                    options, session, keys, make_policy, make_macro, sinks, seed, reset_options, finish
                )
        finally:
            _finish(options, report, video, check)
    finally:
        session.close()


def _play_headless(
    options: Options,
    session: Session,
    make_policy: MakePolicy | None,
    sinks: list[Any],
    seed: int | None,
    reset_options: dict[str, Any] | None,
) -> None:
    from worldsim.session.headless import play

    assert make_policy is not None, "options give every headless run a policy"
    play(session, make_policy, sinks, seed=seed, options=reset_options, steps=options.steps)


def _play_in_window(
    options: Options,
    session: Session,
    keys: Keymap,
    make_policy: MakePolicy | None,
    make_macro: Callable[[], Any],
    sinks: list[Any],
    seed: int | None,
    reset_options: dict[str, Any] | None,
    finish: Callable[[], None],
) -> None:
    from worldsim.player.loop import Player

    config = options.config
    player = Player(
        session,
        keys,
        f"worldsim: {options.env}",
        size=(config.width, config.height),
        tick_rate=config.tick_rate,
        turn_rate=config.turn_rate,
        mouse_degrees=config.mouse_degrees,
        invert_y=config.invert_y,
        make_policy=make_policy,
        make_macro=make_macro,
        sinks=tuple(sinks),
        limit=options.steps,
        finish=finish,
    )
    player.run(seed=seed, options=reset_options)


def _finish(options: Options, report: Report, video: VideoWriter | None, check: ReplayCheck | None) -> None:
    try:
        if options.headless and report.steps:
            say(report.table())
        if check is not None and check.compared:
            say(check.summary)
        if options.report and report.steps:
            report.write(options.report)
            say(f"report: {options.report}")
    finally:
        if video is not None:
            video.close()
            say(f"video: {options.video}")
