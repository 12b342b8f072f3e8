"""Play in a browser: `worldsim serve --env WORLD` is `worldsim play --browser --env WORLD`."""

from worldsim.cli.command import command
from worldsim.cli.options import usage
from worldsim_app import play

__doc__ = f"{__doc__}\n\n{usage()}"  # what --help prints


@command
def main(words: list[str]) -> int:
    """All words are those of play."""
    return play.main(["--browser", *words])
