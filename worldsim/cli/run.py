"""One run from beginning to end: its sinks, with a window or without, and what it leaves behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from worldsim.cli.keymaps import keymap
from worldsim.cli.options import OptionError, Options
from worldsim.cli.sinks import Sinks
from worldsim.player.keymap import Keymap
from worldsim.session.headless import Sink
from worldsim.session.session import Session

MakePolicy = Callable[[dict[str, Any]], Callable[[Any, dict[str, Any]], Any]]


@dataclass(frozen=True)
class Played:
    """A session that is not yet reset, who plays it (None: the player's hands), its needle macro, and its reset."""

    session: Session
    make_policy: MakePolicy | None
    make_macro: Callable[[], Any]
    seed: int | None
    reset_options: dict[str, Any] | None = None


def run(options: Options, played: Played, make_sinks: Callable[[int, int], Sinks]) -> None:
    """Play as ``options`` say; whatever ends it, the world is closed and the sinks are finished.

    Args:
        make_sinks: what the session of a number, 1, leaves behind, at so many ticks a second.

    Raises:
        OSError: the video or the report can not be written.
    """
    session = played.session
    keys = keymap(options, session.env.unwrapped)
    if keys.waits and options.from_keyboard and os.environ.get("SDL_VIDEODRIVER") == "dummy":
        raise OptionError(
            f"{options.env} waits for a key, and SDL_VIDEODRIVER=dummy has none; give --headless, or --policy random"
        )
    try:
        sinks = make_sinks(1, options.config.tick_rate or keys.tick_rate)
        if options.compare:
            session.controls.set_compare(True)

        def finish() -> None:
            try:
                sinks.finish()
            finally:  # the world stays open: one that draws with SDL too would wait for the display
                getattr(session.env, "seal", lambda: None)()

        try:
            if options.headless:
                _play_headless(options, played, sinks.all)
            else:
                _play_in_window(options, played, keys, sinks.all, finish)
        finally:
            sinks.finish()
    finally:
        session.close()


def _play_headless(options: Options, played: Played, sinks: tuple[Sink, ...]) -> None:
    from worldsim.session.headless import play

    assert played.make_policy is not None, "options give every headless run a policy"
    seed, reset_options = played.seed, played.reset_options
    play(played.session, played.make_policy, sinks, seed=seed, options=reset_options, steps=options.steps)


def _play_in_window(
    options: Options, played: Played, keys: Keymap, sinks: tuple[Sink, ...], finish: Callable[[], None]
) -> None:
    from worldsim.player.loop import Player

    config = options.config
    player = Player(
        played.session,
        keys,
        f"worldsim: {options.env}",
        size=(config.width, config.height),
        tick_rate=config.tick_rate,
        turn_rate=config.turn_rate,
        mouse_degrees=config.mouse_degrees,
        invert_y=config.invert_y,
        make_policy=played.make_policy,
        make_macro=played.make_macro,
        sinks=sinks,
        limit=options.steps,
        finish=finish,
    )
    player.run(seed=played.seed, options=played.reset_options)
