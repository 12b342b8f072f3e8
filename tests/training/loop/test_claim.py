"""One folder has one writer at a time, and a dead writer leaves it free."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from training.loop.claim import FolderInUse, claim

ROOT = Path(__file__).parents[3]
CHILD = "import sys, time; from pathlib import Path; from training.loop.claim import claim\n"
CHILD += "with claim(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    words = [sys.executable, "-c", CHILD, str(tmp_path / "run")]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert child.stdout is not None and child.stdout.readline() == b"held\n"
        with pytest.raises(FolderInUse, match="written by another process"), claim(tmp_path / "run"):
            pass
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    for _ in range(2):
        with claim(tmp_path / "run"):
            assert (tmp_path / "run").is_dir()
