"""The machines of a Ray cluster (extra ``ray``) as what begins tasks of :mod:`training.loop.cluster`."""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from training.loop.cluster import AUTO, ClusterError, Place, Task, one_line, patient

STORE = 80 * 2**20
"""Bytes of the object store of a Ray that a command starts for itself: tasks pass names of files, and small numbers."""
LOOK = 2.0
"""Seconds after which it is asked again what the cluster has."""


class RayEngine:
    """The machines of a Ray cluster."""

    def __init__(self, place: Place) -> None:
        self._ray = ray = _connected(place)
        # A task's own error is a RayTaskError; all others are of a worker, of its machine, or of what went with them.
        self.lost: tuple[type[Exception], ...] = (ray.exceptions.RayError,)
        one: dict[str, Any] = {"num_cpus": 1, "max_retries": 0, "scheduling_strategy": "SPREAD"}
        one |= {"num_gpus": place.gpus} if place.gpus else {}
        one |= {"max_calls": 1} if place.apart else {}
        self._entry = ray.remote(**one)(_entry())
        self._place, self._room, self._looked = place, 1, -1e9
        self._refs: dict[Future[Any], Any] = {}

    def room(self) -> int:
        if time.monotonic() - self._looked > LOOK:  # machines come and go
            has, self._looked = self._ray.cluster_resources(), time.monotonic()
            at_once = has.get("GPU", 0) / self._place.gpus if self._place.gpus else has.get("CPU", 0)
            # some wait: nobody idles, and an autoscaler sees what is wanted
            self._room = max(1, 2 * int(at_once))
        return self._room

    def submit(self, task: Task) -> Future[Any]:
        reference = self._entry.remote(pickle.dumps((patient, (task.work, *task.args))))
        future: Future[Any] = reference.future()
        self._refs[future] = reference
        return future

    def result(self, future: Future[Any]) -> Any:
        del self._refs[future]
        try:
            return future.result()
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause or RuntimeError(str(error)) from None

    def stop(self, finish: bool) -> None:
        """End what was begun; the next run makes it anew. Ray stays connected until the process ends, for a command may
        come back to it and it takes seconds to begin."""
        begun, self._refs = list(self._refs.values()), {}
        for reference in begun:
            self._ray.cancel(reference)


def _connected(place: Place) -> Any:
    """The module ``ray``, connected.

    Raises:
        ClusterError: as :func:`started`.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ClusterError(
            f"cluster={place.cluster} needs Ray, which is not here ({error}): pip install 'ray[client]', "
            "or leave cluster=local"
        ) from None
    if ray.is_initialized():
        return ray
    words: dict[str, Any] = {"log_to_driver": False, "logging_level": "WARNING"}
    try:
        try:
            ray.init(place.cluster, **words)
        except ConnectionError:
            if place.cluster != AUTO:
                raise
            _begin(ray, words)
    except (ConnectionError, RuntimeError) as error:
        raise ClusterError(f"no Ray cluster answers at cluster={place.cluster}: {one_line(error)}") from None
    nodes, cores = sum(n["Alive"] for n in ray.nodes()), ray.cluster_resources().get("CPU", 0)
    print(f"Ray {ray.__version__}: {nodes} machines, {cores:g} cores", file=sys.stderr)
    return ray


def _begin(ray: Any, words: dict[str, Any]) -> None:
    """A Ray of this machine alone, which nobody can reach from another one.

    Raises:
        ClusterError: it does not begin.
    """
    # Ray's switch for whether a node is part of something larger: where it is off, all listens on the loopback address.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    ray._private.ray_constants.ENABLE_RAY_CLUSTER = False
    for last in (False, True):
        try:
            ray.init("local", include_dashboard=False, object_store_memory=STORE, **words)
            return
        except (
            Exception
        ) as error:  # Ray has no class for it; on a busy machine its parts wait too briefly for each other
            if last:
                raise ClusterError(f"Ray does not begin on this machine: {one_line(error)}") from None
            ray.shutdown()


def _entry() -> Callable[[bytes], Any]:
    """What Ray runs: a function that is pickled as a whole, for it has yet to find where this package lies."""
    paths, folder = [str(Path(entry).absolute()) for entry in sys.path], str(Path.cwd())
    main = getattr(sys.modules["__main__"], "__spec__", None)
    name = main.name if main else "__main__"

    def entry(task: bytes) -> Any:
        import io
        import os
        import pickle
        import sys

        os.environ.setdefault("NUMBA_NUM_THREADS", "1")
        sys.path[:0] = [path for path in paths if path not in sys.path]
        os.chdir(folder)  # of the command, on a disk that all machines share

        class Reader(pickle.Unpickler):
            def find_class(self, module: str, of: str) -> Any:
                return super().find_class(name if module == "__main__" else module, of)

        work, args = Reader(io.BytesIO(task)).load()
        return work(*args)

    return entry
