"""Playing in a browser: what the options ask for, as games of a server."""

from __future__ import annotations

from collections.abc import Callable

from worldsim.cli.command import say
from worldsim.cli.keymaps import keymap
from worldsim.cli.options import Options
from worldsim.cli.run import Played
from worldsim.server.hosted import Game
from worldsim.server.serve import HOST, PORT, Address
from worldsim.server.serve import serve as serve_games
from worldsim.server.sessions import MOST


def serve(options: Options, make: Callable[[], Played]) -> None:
    """Serve sessions as ``options`` say until Ctrl-C.

    Args:
        make: makes one for every page that begins to play.

    Raises:
        ServerError: the packages are not installed, or the address cannot be used.
        KeyboardInterrupt: it was told to end.
    """

    def game() -> Game:
        played, config = make(), options.config
        if options.compare:
            played.session.controls.set_compare(True)
        return Game(
            played.session,
            keymap(options, played.session.env.unwrapped),
            f"worldsim: {options.env}",
            config.tick_rate,
            config.turn_rate,
            config.mouse_degrees,
            played.make_policy,
            played.make_macro,
            played.seed,
            played.reset_options,
            config.invert_y,
        )

    port = PORT if options.port is None else options.port
    address = Address(options.host or HOST, port, options.names)
    serve_games(game, address, options.sessions or MOST, say)
