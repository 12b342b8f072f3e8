"""What every test begins with: threads, which decide how sums are split, and so a picture's last bit; denormals."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec

if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):
    # before torch is imported, and for the processes that tests start
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // workers, 1)))

import pytest
import torch

from envs.adapters.engine_missing import EngineMissing

THREADS = torch.get_num_threads()
LABMAZE = find_spec("labmaze") is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """What needs the mazes is skipped where their package has no wheel, as on Python 3.13."""
    return (yield from _without_mazes())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """As above, for tests that need them without a fixture."""
    return (yield from _without_mazes())


def _without_mazes() -> Iterator[None]:
    try:
        return (yield)
    except EngineMissing as error:
        if LABMAZE:
            raise
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def _threads_of_the_start() -> Iterator[None]:
    yield
    torch.set_flush_denormal(False)  # trainers and engines leave it set
    if torch.get_num_threads() != THREADS:
        torch.set_num_threads(THREADS)
