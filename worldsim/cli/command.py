"""The front door of every command: a user's mistake is one sentence and exit code 2, Ctrl-C a clean 130."""

from __future__ import annotations

import errno
import functools
import sys
from collections.abc import Callable

MISTAKE, INTERRUPTED = 2, 130


def command(main: Callable[[list[str]], int | None]) -> Callable[..., int]:
    """Wrap ``main(args)``; call it as ``sys.exit(main())``. ``--help`` prints the docstring of its module.

    ValueError, FileNotFoundError, PermissionError, a full disk and a game that ended become one sentence on stderr and
    exit code 2; KeyboardInterrupt becomes 130; anything else is a bug and keeps its traceback.
    """

    @functools.wraps(main)
    def run(args: list[str] | None = None) -> int:
        words = sys.argv[1:] if args is None else args
        if words and words[0] in ("-h", "--help"):
            print((sys.modules[main.__module__].__doc__ or "").strip())
            return 0
        try:
            return main(words) or 0
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return INTERRUPTED
        except (ValueError, OSError) as error:
            sentence = explain(error)
            if sentence is None:
                raise
            print(f"error: {sentence}", file=sys.stderr)
            return MISTAKE

    return run


def explain(error: BaseException) -> str | None:
    """The sentence for an error that a user can mend, or None where it is a bug."""
    if isinstance(error, ConnectionError) and error.errno is None:  # a game on the other side ended
        return _one_line(error)
    if isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            said = error.strerror if "disk" in (error.strerror or "") else "the disk is full; make room at"
            return f"{said}{where}"
        if isinstance(error, PermissionError):
            return f"no permission to open or write{where}; choose another folder or change its rights"
        if isinstance(error, FileNotFoundError):
            return f"no such file or folder:{where}" if where else _one_line(error)
        if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
            return f"{error.strerror or type(error).__name__}:{where}"
        return None
    if isinstance(error, ValueError) and not isinstance(error, UnicodeError):
        return _one_line(error)
    return None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
