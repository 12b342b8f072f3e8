"""Tasks that leave traces, in a file that a process reads at once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from training.loop.cluster import Held


def make(folder: str, name: str, die: int = 0) -> int:
    """Leave a line in a file of that name; of the first ``die`` times it is begun the process is killed before."""
    begun = Path(folder) / f"{name}.begun"
    with begun.open("a") as file:
        file.write("x")
    if begun.stat().st_size <= die:
        os.kill(os.getpid(), signal.SIGKILL)
    with (Path(folder) / name).open("a") as file:
        file.write("made\n")
    return os.getpid()


def fail(name: str) -> None:
    raise ValueError(f"no {name}")


def held(folder: str) -> str:
    """Held by another until it was asked for twice."""
    tries = Path(folder) / "tries"
    tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
    if len(tries.read_text()) < 3:
        raise Held("another process has it")
    return "made"
