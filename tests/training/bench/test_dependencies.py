"""What an episode's numbers depend on is seen while a model runs; only while all of it is the same are they kept."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import worldsim
from tests.training.bench.test_bench import bench, results
from training.bench.dependencies import Dependencies, note
from training.bench.suite import Suite

ROOT = Path(worldsim.__file__).parent.parent
GREY = """import json
import numpy as np
import {helper}

LEVEL = json.load(open("level.json"))


class Grey:
    def begin(self, frames, actions):
        self.frame = np.full_like(frames[-1], {helper}.VALUE + LEVEL + json.load(open("weights.json")))

    def step(self, action):
        return self.frame
"""


@pytest.fixture
def grey(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model that takes a number from a module and one from a file."""
    (elsewhere / "grey_helper.py").write_text("VALUE = 60")
    (elsewhere / "weights.json").write_text("20")
    (elsewhere / "level.json").write_text("3")
    (elsewhere / "grey_model.py").write_text(GREY.format(helper="grey_helper"))
    forgotten(monkeypatch)
    return "grey_model:Grey"


def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new process would import anew."""
    for name in ("grey_model", "grey_helper"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # or the same second's file counts as the same
    importlib.invalidate_caches()


@pytest.mark.parametrize(
    "changed", [("weights.json", "70"), ("level.json", "9"), ("grey_helper.py", "VALUE = 90")]
)
def test_an_episode_is_kept_only_while_modules_and_files_of_its_model_are_the_same(
    grey: str,
    changed: tuple[str, str],
    short: Suite,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def psnr() -> float:
        forgotten(monkeypatch)
        assert bench(short, grey, "tasks=[ahead]", "out=a") == 0
        return float(results("a")["models"][grey]["summary"]["labmaze"]["ahead"]["psnr 1"]["mean"])

    first = psnr()
    assert "kept from before" not in capsys.readouterr().out
    assert psnr() == first
    assert "1 of 1 episodes kept from before" in capsys.readouterr().out
    Path(changed[0]).write_text(changed[1])
    assert psnr() != first
    assert f"{grey}  " in (said := capsys.readouterr().out) and "kept" not in said.partition(grey)[2]
    (unit,) = Path("a/units").glob("grey*/labmaze-ahead-00.json")
    named = {Path(path).name for path in json.loads(unit.read_text())["depends"]}
    assert {"weights.json", "grey_helper.py", "grey_model.py"} <= named


def noted(do: object, module: str = "") -> dict[str, str]:
    """What is found after a call."""
    note(True)
    try:
        do()  # type: ignore[operator]
    finally:
        note(False)
    return Dependencies(module).found()


def test_files_that_are_read_count_however_python_opens_them(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    (tmp_path / "b").write_text("b")

    def read() -> None:
        np.load(tmp_path / "a.npy", mmap_mode="r")
        os.close(os.open(tmp_path / "b", os.O_RDONLY))

    found = noted(read)
    assert {str(tmp_path / "a.npy"), str(tmp_path / "b")} <= set(found)
    assert not any("site-packages" in path or path.startswith(f"{ROOT}/worldsim/") for path in found)
    (tmp_path / "c").write_text("c")
    assert str(tmp_path / "c") not in found


def test_what_a_model_writes_itself_or_libraries_open_does_not_count(tmp_path: Path) -> None:
    def work() -> None:
        (tmp_path / "cache").write_text("mine")
        (tmp_path / "cache").read_text()
        Path(np.__file__).read_bytes()
        Path("/proc/self/stat").read_bytes()

    found = noted(work)
    assert not {str(tmp_path / "cache"), np.__file__, "/proc/self/stat"} & set(found)
    assert np.__file__ in noted(work, "numpy.anything")  # but for the model's own package


def test_a_file_that_was_not_there_counts_too(tmp_path: Path) -> None:
    def look() -> None:
        with pytest.raises(FileNotFoundError):
            (tmp_path / "weights.bin").read_bytes()

    found = noted(look)
    assert Dependencies().same(found)
    (tmp_path / "weights.bin").write_bytes(b"1")
    assert not Dependencies().same(found)


def test_large_files_are_the_same_by_size_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.bench.dependencies.LARGE", 2)
    file = tmp_path / "large.bin"
    file.write_bytes(b"123")
    found = noted(file.read_bytes)
    assert Dependencies().same(found)
    os.utime(file, ns=(1, 1))
    assert not Dependencies().same(found)


def test_a_result_that_says_nothing_of_what_it_depends_on_is_not_kept() -> None:
    assert not Dependencies().same(None)
