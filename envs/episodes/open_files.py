"""How many recorded files a process keeps open: those opened last, half as many as it may open."""

from __future__ import annotations

import errno
import weakref
from collections import OrderedDict
from functools import cache
from typing import Protocol

FEWEST = 64


class Holder(Protocol):
    """What keeps a file open, and can let go of it."""

    def let_go(self) -> None:
        """Drop the open file; who still reads from it keeps it until then."""


_HOLDERS: OrderedDict[int, weakref.ref[Holder]] = OrderedDict()  # each of its steps is one under the GIL


@cache
def most() -> int:
    """Half of what this process may open, which is as good as all where a system says no number."""
    try:
        import resource
    except ImportError:  # Windows, whose limit is of the C library's
        return 256
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1 << 20 if limit == resource.RLIM_INFINITY else max(FEWEST, limit // 2)


def hold(holder: Holder) -> None:
    """Note that ``holder`` has opened its file; of too many the first opened are let go of."""
    # One that was closed, or that is of the process before a fork, is the newest again.
    _HOLDERS.pop(id(holder), None)
    _HOLDERS[id(holder)] = weakref.ref(holder)
    while len(_HOLDERS) > most():
        _, first = _HOLDERS.popitem(last=False)
        if (found := first()) is not None:
            found.let_go()


def too_many(error: BaseException) -> bool:
    """Whether an error says that no more files can be opened, which is no fault of the file's."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)
