"""docs/bench.md, followed from an empty folder: a model of 30 lines is checked, played, measured and gated."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from worldsim_app.main import main

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "bench.md").read_text()


def block(mark: str) -> str:
    """The block after a comment."""
    found = re.search(rf"<!-- {re.escape(mark)} -->\n```\w*\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def test_a_model_of_thirty_lines_goes_all_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    model = block("compass.py")
    assert len(model.splitlines()) <= 31
    (tmp_path / "compass.py").write_text(model)
    for line in block("steps").splitlines():
        program, *words = shlex.split(line, comments=True)
        if program == "python":
            assert words[0] == "-c"
            exec(words[1], {})
        elif program == "cp":
            shutil.copy(*words)
        else:
            assert program == "worldsim"
            words += ["isolate=false", "perceptual=false"] if words[0] == "bench" else []
            assert main(words) == 0, capsys.readouterr().err
    assert "PASS compass:Compass" in capsys.readouterr().out
    assert Path("play.mp4").stat().st_size and json.loads(Path("play.json").read_text())["dreams"]
    found = json.loads(Path("runs/bench/tiny-v1/bench.json").read_text())
    needle = found["models"]["compass:Compass"]["summary"]["labmaze"]["needle"]
    assert needle["ssim 0-16"]["mean"] > 0.4 and Path("runs/bench/tiny-v1/bench.html").is_file()
