"""What every test begins with: threads, which decide how sums are split, and so a picture's last bit; denormals."""

from __future__ import annotations

import os
from collections.abc import Iterator

if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):
    # before torch is imported, and for the processes that tests start
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // workers, 1)))

import pytest
import torch

THREADS = torch.get_num_threads()


@pytest.fixture(autouse=True)
def _threads_of_the_start() -> Iterator[None]:
    yield
    torch.set_flush_denormal(False)  # trainers and engines leave it set
    if torch.get_num_threads() != THREADS:
        torch.set_num_threads(THREADS)
