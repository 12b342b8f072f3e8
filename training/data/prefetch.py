"""Batches made by another thread while the last ones are trained on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def ahead(make: Callable[[int], Any], depth: int = 2) -> Iterator[Callable[[int], Any]]:
    """``make`` of steps that follow each other from any on, by another thread while the last ones are trained on."""
    coming: Generator[Any] | None = None

    def made(step: int) -> Any:
        nonlocal coming
        coming = coming or prefetched(make, step, depth)
        return next(coming)

    try:
        yield made
    finally:
        if coming is not None:
            coming.close()


def prefetched(make: Callable[[int], Any], first: int, depth: int) -> Generator[Any]:
    """make(first), make(first + 1), ... up to ``depth`` ahead by another thread, which ends with the iterator."""
    ready: queue.Queue[Any] = queue.Queue(depth)
    ended = threading.Event()

    def work() -> None:
        step = first
        while not ended.is_set():
            try:
                made: Any = make(step)
            except BaseException as error:
                made = error
            while not ended.is_set():
                try:
                    ready.put(made, timeout=0.2)
                    break
                except queue.Full:
                    continue
            if isinstance(made, BaseException):
                return
            step += 1

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    try:
        while True:
            made = ready.get()
            if isinstance(made, BaseException):
                raise made
            yield made
    finally:
        ended.set()
        worker.join()  # a thread inside torch while the interpreter ends aborts the process
