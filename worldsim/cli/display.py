"""Without a display a run is headless, and says so."""

from worldsim.cli.options import Options


def shown(options: Options) -> Options:
    """The options, made headless where a window is asked for and none can be opened."""
    if options.headless or options.browser:
        return options
    from worldsim.player.window import display_missing

    if reason := display_missing():
        print(f"No window can be opened here ({reason}), so this run is headless.")
        return options.without_display()
    return options
