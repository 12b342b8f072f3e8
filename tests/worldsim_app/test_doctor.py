"""What a machine can do: ten lines, whatever is missing."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from worldsim_app import doctor


def test_ten_lines_name_what_is_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    assert doctor.main([]) == 0
    told = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert list(told) == [
        "versions", "device", "precision", "threads", "engines", "worlds", "dreams", "kernels", "folders", "display",
    ]  # fmt: skip
    assert "unknown" not in "".join(told.values())
    assert "torch" in told["versions"] and "blocks" in told["worlds"] and "blocks" in told["dreams"]
    assert ("labmaze" in told["worlds"]) == (find_spec("labmaze") is not None)
    assert "headless" in told["display"]
    engines = told["engines"].partition(";")[0].replace(",", "").split()[1:]
    assert {"cpu", "eager"} <= set(engines)
    # what is here, no catalogue
    assert torch.cuda.is_available() or not {"tensorrt", "cudagraphs"} & set(engines)


def test_a_line_that_cannot_be_told_hides_no_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> str:
        raise RuntimeError("no kernel driver")

    for name in ("_device", "_engines", "_precision"):
        monkeypatch.setattr(doctor, name, broken)
    assert doctor.main([]) == 0
    told = capsys.readouterr().out
    assert len(told.splitlines()) == 10 and told.count("unknown: RuntimeError: no kernel driver") == 3


def test_where_nothing_can_be_played_the_exit_code_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "playable", list)
    for name in ("_device", "_engines", "_precision"):
        monkeypatch.setattr(doctor, name, str)
    assert doctor.main([]) == doctor.NOTHING_TO_PLAY


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()  # root may write everywhere, but not below a file
    assert doctor.written(tmp_path / "new" / "deep") == str(tmp_path / "new" / "deep")
    assert "cannot be written" in doctor.written(tmp_path / "file" / "below")


def test_it_takes_no_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["please"]) == 2
    assert "please" in capsys.readouterr().err
