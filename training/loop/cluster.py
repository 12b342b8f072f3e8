"""Where tasks run: in this process, in processes of this machine, or on the machines of a Ray cluster.

    with started(Place("auto")) as cluster:
        for task, value in cluster.run(Task(name, work, args) for ...): ...

A task is a function of a module and what it is given. It is named by what it makes, makes it whole or not at all, and
is left out by its command where that is there; so any of them can be begun again. A worker that dies, or its machine,
costs the one task it had, which another worker begins anew. What fails is told at the end, when all else is done.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

LOCAL, AUTO = "local", "auto"
ADDRESS = re.compile(r"(ray://)?([\w.-]+|\[[0-9a-fA-F:]+\]):\d+")
TRIES = 4
"""How often a task is begun whose workers die."""
GIVE_UP = 8
"""Failures in a row, none of them a worker's death, after which no further task is begun."""
PATIENCE = 20.0
"""Seconds that a task waits for what another worker holds, which may be one that is just ending."""


class ClusterError(ValueError):
    """A cluster that is not there, or a task that no worker has survived."""


class Held(ValueError):
    """What a task makes is being made by another process."""


@dataclass(frozen=True)
class Task:
    """One call, ``work(*args)``, of a function that other processes can import; all can be pickled.

    Attributes:
        name: what it makes. Of two tasks of one name the second is left out.
    """

    name: str
    work: Callable[..., Any]
    args: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where tasks run.

    Attributes:
        cluster: ``local``; ``auto``, the Ray cluster that runs (RAY_ADDRESS, or one begun on this machine), else a Ray
            of this machine alone; ``ray://HOST:PORT`` or ``HOST:PORT``, that one.
        workers: processes of ``local``; one is this process itself. Ray takes all cores that it has.
        apart: every task in a process of its own, which ends with it.
        gpus: of each task, on Ray.
    """

    cluster: str = LOCAL
    workers: int = 1
    apart: bool = False
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.cluster not in (LOCAL, AUTO) and not ADDRESS.fullmatch(self.cluster):
            raise ClusterError(
                f"expected cluster=local, auto, ray://HOST:PORT or HOST:PORT, found cluster={self.cluster}"
            )


HERE = Place()
"""In this process."""


class Engine(Protocol):
    """What begins tasks."""

    @property
    def lost(self) -> tuple[type[Exception], ...]:
        """The errors of a worker that died."""

    def room(self) -> int:
        """How many tasks are to be begun and not ended, at most."""

    def submit(self, task: Task) -> Future[Any]:
        """Begin a task."""

    def result(self, future: Future[Any]) -> Any:
        """What a task gave; raises what it raised, or one of ``lost`` where its worker died."""

    def stop(self, finish: bool) -> None:
        """Begin nothing more; let what was begun end, or end it."""


@dataclass
class Cluster:
    """Begins tasks and begins them again."""

    engine: Engine

    def run(self, tasks: Iterable[Task], finish: bool = False) -> Iterator[tuple[Task, Any]]:
        """Each task as it ends, with what it gave, in any order.

        A task is taken from ``tasks`` when there is room for it, so that who gives them can end them.

        Args:
            finish: whether on Ctrl-C tasks that were begun are let to their end.

        Raises:
            what the first failed task raised, after all others have ended; they are told of on stderr.
        """
        waiting, again, running = _once(tasks), list[Task](), dict[Future[Any], Task]()
        tries, failed, in_a_row = Counter[str](), list[tuple[str, Exception]](), 0
        try:
            while True:
                while len(running) < self.engine.room():
                    task = again.pop() if again else next(waiting, None) if in_a_row < GIVE_UP else None
                    if task is None:
                        break
                    running[self.engine.submit(task)] = task
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    task = running.pop(future)
                    try:
                        value = self.engine.result(future)
                    except self.engine.lost as error:
                        tries[task.name] += 1
                        if tries[task.name] < TRIES:
                            again.append(task)
                        else:
                            said = f"{task.name}: {TRIES} workers died of it: {one_line(error)}"
                            failed.append((task.name, ClusterError(said)))
                    except Exception as error:
                        failed.append((task.name, error))
                        in_a_row += 1
                    else:
                        in_a_row = 0
                        yield task, value
        except BaseException:
            self.engine.stop(finish)
            raise
        if in_a_row >= GIVE_UP:
            print(f"given up after {GIVE_UP} failures in a row", file=sys.stderr)
        for name, why in failed[1:]:
            print(f"failed: {name}: {one_line(why)}", file=sys.stderr)
        if failed:
            raise failed[0][1]


@contextmanager
def started(place: Place) -> Iterator[Cluster]:
    """A cluster, until it is left.

    Raises:
        ClusterError: Ray is not installed, or nothing answers there.
    """
    engine: Engine
    if place.cluster != LOCAL:
        from training.loop.ray_engine import RayEngine

        engine = RayEngine(place)
    elif place.workers > 1 or place.apart:
        engine = _Pool(place)
    else:
        engine = _Here()
    try:
        yield Cluster(engine)
    finally:
        engine.stop(finish=True)


class _Here:
    """This process, one task after the other."""

    lost: tuple[type[Exception], ...] = ()

    def room(self) -> int:
        return 1

    def submit(self, task: Task) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(task.work(*task.args))
        except Exception as error:
            future.set_exception(error)
        return future

    def result(self, future: Future[Any]) -> Any:
        return future.result()

    def stop(self, finish: bool) -> None:
        pass


class _Pool:
    """Processes of this machine, each an executor of one: the death of one is no other's."""

    lost: tuple[type[Exception], ...] = (BrokenProcessPool,)

    def __init__(self, place: Place) -> None:
        self._place, self._free = place, list[ProcessPoolExecutor]()
        self._busy: dict[Future[Any], ProcessPoolExecutor] = {}

    def room(self) -> int:
        return self._place.workers

    def submit(self, task: Task) -> Future[Any]:
        executor = self._free.pop() if self._free else self._executor()
        try:
            future = executor.submit(patient, task.work, *task.args)
        except BrokenProcessPool:  # it died between two tasks
            executor = self._executor()
            future = executor.submit(patient, task.work, *task.args)
        self._busy[future] = executor
        return future

    def result(self, future: Future[Any]) -> Any:
        executor = self._busy.pop(future)
        if self._place.apart or isinstance(future.exception(), BrokenProcessPool):
            executor.shutdown(wait=False)
        else:
            self._free.append(executor)
        return future.result()

    def stop(self, finish: bool) -> None:
        executors = [*self._free, *self._busy.values()]
        self._free, self._busy = [], {}
        for executor in executors:
            for process in [] if finish else list((executor._processes or {}).values()):
                process.terminate()  # as terminate_workers of Python 3.14
            executor.shutdown(wait=finish, cancel_futures=True)

    def _executor(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin_worker)


def patient(work: Callable[..., Any], *args: Any) -> Any:
    """``work(*args)``, begun again while another process holds what it makes, but not for long."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return work(*args)
        except Held:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


def _begin_worker() -> None:
    # here, not in the first process: Numba refuses to compile once its threads run and their number is set anew
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    _follow_first()


def _follow_first() -> None:
    """Ctrl-C and the terminal's end reach every process of the terminal; the first decides, and its end is theirs."""
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _end_with_the_first() -> None:
    """A first process that was killed tells nobody; what goes on without it would write where the next one does."""
    if (first := multiprocessing.parent_process()) is not None:
        first.join()
        os._exit(1)


def _once(tasks: Iterable[Task]) -> Iterator[Task]:
    names = set[str]()
    for task in tasks:
        if task.name not in names:
            names.add(task.name)
            yield task


def one_line(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:300]
