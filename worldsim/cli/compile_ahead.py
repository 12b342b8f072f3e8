"""On the first start, kernels are compiled in processes of their own while this one still loads its libraries."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from worldsim.session.processes import environment

ENGINE = Path(__file__).parents[1] / "engine" / "kernels"
COMPILE_ENGINE = [
    ["-c", f"import gc; gc.disable(); import {modules}"]
    for modules in (
        "worldsim.engine.kernels.layers, worldsim.engine.kernels.splatting",
        "worldsim.engine.kernels.warping, worldsim.engine.kernels.photometric",
    )
]


class CompileAhead:
    """Compilers that were started; what they leave on disk is used by whoever waited for them.

    Args:
        jobs: the words after ``python`` that compile the kernels of a folder, job by job, by folder. A folder that has
            been compiled before, or beside which kernels cannot be kept, is left alone.
    """

    def __init__(self, jobs: dict[Path, list[list[str]]]) -> None:
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._running = [
            subprocess.Popen([sys.executable, *words], env=environment(), **quiet)  # type: ignore[call-overload]
            for folder, parts in jobs.items()
            if _cold(folder)
            for words in parts
        ]

    def wait(self) -> None:
        """Return when all are done; one that failed leaves its work to whoever needs it."""
        for process in self._running:
            process.wait()


def _cold(folder: Path) -> bool:
    """Whether numba would keep compiled kernels beside this folder's sources, and has not yet."""
    kept = folder / "__pycache__"
    return (
        "NUMBA_CACHE_DIR" not in os.environ
        and os.access(kept if kept.exists() else folder, os.W_OK)
        and not any(kept.glob("*.nbi"))
    )
