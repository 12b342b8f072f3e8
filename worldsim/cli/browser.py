"""Playing in a browser: what the options ask for, as games of a server."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import count

from worldsim.cli.command import say
from worldsim.cli.keymaps import keymap
from worldsim.cli.options import Options
from worldsim.cli.run import Played
from worldsim.cli.sinks import Sinks
from worldsim.server.hosted import Game
from worldsim.server.serve import PORT, Address
from worldsim.server.serve import serve as serve_games
from worldsim.server.sessions import MOST
from worldsim.session.network import HOST


def serve(options: Options, make: Callable[[], Played], sinks: Callable[[int, int], Sinks]) -> None:
    """Serve sessions as ``options`` say until Ctrl-C.

    Args:
        make: makes one for every page that begins to play.
        sinks: what the session of this number leaves behind, at so many ticks a second.

    Raises:
        ServerError: the packages are not installed, or the address cannot be used.
        KeyboardInterrupt: it was told to end.
    """
    port = PORT if options.port is None else options.port
    address = Address(options.host or HOST, port, options.names)
    most = options.sessions or (1 if options.single else MOST)
    serve_games(games(options, make, sinks), address, most, say)


def games(
    options: Options, make: Callable[[], Played], sinks: Callable[[int, int], Sinks]
) -> Callable[[], Game]:
    """What makes the game of every session; any thread may call it, several at once."""
    numbers = count(1)

    def game() -> Game:
        number = next(numbers)  # before the world, which takes seconds: another session may begin meanwhile
        played, config = make(), options.config
        try:
            keys = keymap(options, played.session.env.unwrapped)
            if options.compare:
                played.session.controls.set_compare(True)
            left = sinks(number, config.tick_rate or keys.tick_rate)
        except BaseException:
            with suppress(Exception):  # why there is no game is what counts, not what comes of closing it
                played.session.close()
            raise
        return Game(
            played.session,
            keys,
            f"worldsim: {options.env}",
            config.tick_rate,
            config.turn_rate,
            config.mouse_degrees,
            played.make_policy,
            played.make_macro,
            played.seed,
            played.reset_options,
            left.all,
            left.finish,
            options.steps,
            config.invert_y,
        )

    return game
