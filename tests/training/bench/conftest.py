"""A suite of seconds: three short episodes of LabMaze."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from training.bench import suite as suites
from training.bench.suite import Script, Suite
from training.bench.truth import Worlds

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(scope="session")
def short(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    scripts = [
        Script("labmaze-needle-00", "labmaze", "needle", 7, 1, 50),
        Script("labmaze-ahead-00", "labmaze", "ahead", 7, 8, 24),
        Script("labmaze-mirror6-00", "labmaze", "mirror", 7, 4, 0, (), {"steps": 6, "group": "6"}),
    ]
    described, actions = [], {}
    with Worlds(64) as worlds:
        for script in scripts:
            truth = worlds.record(script)
            marks, frames = truth.marks, len(truth.walk.frames)
            described.append(replace(script, frames=frames, marks=marks, digest=truth.digest))
            actions[script.id] = truth.walk.actions
    folder = tmp_path_factory.mktemp("suite") / "short"
    return suites.write(folder, "short", 1, 64, "for tests", described, actions)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody else's folder with a model in it, which is the working one."""
    shutil.copy(EXAMPLES / "last_frame.py", tmp_path / "copying_bench_model.py")
    monkeypatch.delitem(sys.modules, "copying_bench_model", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    return tmp_path
