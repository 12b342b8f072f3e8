"""The front door of every command: a user's mistake is one sentence and exit code 2, Ctrl-C a clean 130."""

from __future__ import annotations

import errno
import functools
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from worldsim import kernel_cache

MISTAKE, INTERRUPTED, NOBODY_READS = 2, 130, 141
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
BUGS = (errno.EBADF, errno.EFAULT)  # no file of a user's is the cause
PROMPT = "EOF when reading a line"  # of input()
ENDING = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP


def command(main: Callable[[list[str]], int | None]) -> Callable[..., int]:
    """Wrap ``main(args)``; call it as ``sys.exit(main())``. ``--help`` prints the docstring of its module.

    ValueError, what the system says of a file, a damaged file and a game that ended become one sentence on stderr and
    exit code 2; KeyboardInterrupt becomes 130, and so do SIGTERM (143) and SIGHUP (129), which are raised as it; a
    reader of the output who left becomes 141, as in any pipe. Anything else is a bug and keeps its traceback.
    """

    @functools.wraps(main)
    def run(args: list[str] | None = None) -> int:
        _open_streams()
        kernel_cache.choose()
        words = sys.argv[1:] if args is None else args
        with ended_by_signals() as ending:
            try:
                if words and words[0] in ("-h", "--help"):
                    print((sys.modules[main.__module__].__doc__ or "").strip(), flush=True)
                    return 0
                code = main(words) or 0
                sys.stdout.flush()
                return code
            except KeyboardInterrupt:
                _complain("interrupted")
                return 128 + ending[0] if ending else INTERRUPTED
            except (ValueError, OSError, EOFError) as error:
                if _gone(error):
                    return NOBODY_READS
                sentence = explain(error)
                if sentence is None:
                    raise
                _complain(f"error: {sentence}")
                return MISTAKE

    return run


@contextmanager
def ended_by_signals() -> Iterator[list[int]]:
    """While it lasts SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does; a signal that is ignored stays so.

    Yields the numbers of those that came. Outside of the main thread, which gets all signals, it does nothing.
    """
    came: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        came.append(number)
        raise KeyboardInterrupt

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for name in ENDING:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, end)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say(text: str) -> None:
    """Print a line; where nobody reads any more, what is left to be done is done in silence."""
    try:
        print(text, flush=True)
    except OSError:
        _silence(sys.stdout)


def explain(error: BaseException) -> str | None:
    """The sentence for an error that a user can mend, or None where it is a bug."""
    if isinstance(error, ConnectionError) and error.errno is None:  # a game on the other side ended
        return _one_line(error)
    if isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        if error.errno in FULL:
            said = error.strerror if "disk" in (error.strerror or "") else "the disk is full; make room at"
            return f"{said}{where}"
        if isinstance(error, PermissionError):
            return f"no permission to open or write{where}; choose another folder or change its rights"
        if error.errno == errno.EROFS:
            return (
                f"nothing can be written{where and ' to'}{where}, which is read-only; choose another folder"
            )
        if isinstance(error, FileNotFoundError):
            return f"no such file or folder:{where}" if where else _one_line(error)
        if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
            return f"{error.strerror or type(error).__name__}:{where}"
        if error.errno is None or error.errno in BUGS or not error.strerror:
            return None
        where += f" to {error.filename2}" if error.filename2 else ""
        return f"{error.strerror}{where and ':'}{where}"
    if isinstance(error, EOFError) and str(error) != PROMPT:
        said = _one_line(error).removesuffix(".")
        return f"a file is damaged, as it ends too early ({said}); make or fetch it again"
    if isinstance(error, ValueError) and not isinstance(error, UnicodeError):
        return _one_line(error)
    return None


def _open_streams() -> None:
    """A closed standard stream is an open one that leads nowhere: the next file must not take its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is the closed one's
            setattr(sys, name, os.fdopen(opened, "r" if number == 0 else "w", closefd=False))


def _gone(error: BaseException) -> bool:
    """Whether the reader of this process's output left; then the output goes nowhere from now on."""
    if not isinstance(error, BrokenPipeError):
        return False
    gone = False
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
            left = _unread(stream.fileno())
        except (OSError, ValueError):
            left = True
        if left:
            _silence(stream)
            gone = True
    return gone


def _unread(number: int) -> bool:
    """Whether this is a pipe that nobody reads, where the system can say so."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(number, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _silence(stream: Any) -> None:
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _complain(text: str) -> None:
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
