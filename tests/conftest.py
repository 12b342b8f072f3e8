"""What every test begins with: threads, which decide how sums are split, and so a picture's last bit; denormals."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from importlib.util import find_spec

if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):
    # before torch is imported, and for the processes that tests start
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // workers, 1)))

import pytest
import torch

THREADS = torch.get_num_threads()
LABMAZE = find_spec("labmaze") is not None
NO_MAZES = "LabMaze needs the package labmaze"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What needs the mazes is skipped where their package has no wheel, as on Python 3.13: a failure that says so, in
    its own words or in what was printed."""
    report = yield
    if report.failed and call.excinfo and not LABMAZE:
        printed = [report.longreprtext, *(text for _, text in report.sections)]
        for name in ("capsys", "capfd"):
            if name in (given := getattr(item, "funcargs", {})):
                printed += given[name].readouterr()
        error = call.excinfo.value  # a fixture of many tests raises it again without what was printed
        if any(NO_MAZES in text for text in [*printed, *getattr(error, "__notes__", [])]):
            error.add_note(NO_MAZES)
            report.outcome, report.longrepr = "skipped", (str(item.path), 0, f"Skipped: {NO_MAZES}")
    return report


@pytest.fixture(autouse=True)
def _threads_of_the_start() -> Iterator[None]:
    yield
    torch.set_flush_denormal(False)  # trainers and engines leave it set
    if torch.get_num_threads() != THREADS:
        torch.set_num_threads(THREADS)
