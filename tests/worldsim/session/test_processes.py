"""A process of ours imports what this one does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from worldsim.session.processes import environment


def test_what_can_be_imported_here_can_be_imported_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here.py").write_text("print('found')")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")  # the working folder, as an interactive interpreter has it
    done = subprocess.run(
        [sys.executable, "-c", "import only_here"],
        cwd=tmp_path / "elsewhere",
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.stdout == "found\n", done.stderr
