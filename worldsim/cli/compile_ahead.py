"""On the first start, kernels are compiled in processes of their own while this one still loads its libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from worldsim.kernel_cache import cold, drop_stale
from worldsim.session.processes import environment

ENGINE = Path(__file__).parents[1] / "engine" / "kernels"
COMPILE_ENGINE = [
    ["-c", f"import gc; gc.disable(); import {modules}"]
    for modules in (
        "worldsim.engine.kernels.tiled_block",  # and .layers, which it stands on
        "worldsim.engine.kernels.warping, worldsim.engine.kernels.photometric, worldsim.engine.kernels.splatting",
    )
]


Jobs = dict[Path, list[list[str]]]
"""The words after ``python`` that compile the kernels of a folder of sources, job by job, by folder."""


class CompileAhead:
    """Compilers that were started; what they leave on disk is used by whoever waited for them.

    Args:
        jobs: the words after ``python`` that compile the kernels of a folder, job by job, by folder. A folder that has
            been compiled before is left alone.
    """

    def __init__(self, jobs: Jobs) -> None:
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        for folder in jobs:
            drop_stale(folder)
        self._running = [
            subprocess.Popen([sys.executable, *words], env=environment(), **quiet)  # type: ignore[call-overload]
            for folder, parts in jobs.items()
            if cold(folder)
            for words in parts
        ]

    def wait(self) -> None:
        """Return when all are done; one that failed leaves its work to whoever needs it."""
        for process in self._running:
            process.wait()
