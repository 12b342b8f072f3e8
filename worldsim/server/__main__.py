"""python -m worldsim.server --env WORLD: play in a browser; all words are those of run_demo.py."""

from __future__ import annotations

import sys
from importlib import import_module


def main(args: list[str]) -> int:
    """Serve until Ctrl-C; the exit code of :func:`worldsim.cli.command.command`.

    Args:
        args: as ``run_demo.py --browser`` takes them.
    """
    return int(import_module("worldsim_app.play").main(["--browser", *args]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
