"""The files that travel with the program are found from everywhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from worldsim.config import shipped


def test_a_shipped_file_is_found_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    named = Path("assets") / "configs" / "keys" / "CartPole-v1.yaml"
    assert shipped.find(named) == shipped.KEYS / "CartPole-v1.yaml"
    assert shipped.find(Path("assets/none.yaml")) == Path("assets/none.yaml")
    (tmp_path / named).parent.mkdir(parents=True)
    (tmp_path / named).touch()
    assert shipped.find(named) == named  # what lies here comes first


def test_an_installed_package_has_them_inside_and_a_checkout_beside(tmp_path: Path) -> None:
    def found() -> str:
        code = "from worldsim.config import shipped; print(shipped.ASSETS)"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True
        )
        return done.stdout.decode().strip()

    room = tmp_path / "worldsim" / "config"
    room.mkdir(parents=True)
    for package in (room, room.parent):
        (package / "__init__.py").touch()
    shutil.copy(shipped.__file__, room)
    assert found() == str((tmp_path / "assets").resolve())
    (tmp_path / "worldsim" / "assets").mkdir()
    assert found() == str((tmp_path / "worldsim" / "assets").resolve())


def test_a_configuration_of_the_paper_is_there() -> None:
    assert {"ar_vae", "ar_diffusion", "meta_arvdm"} <= {p.stem for p in shipped.CONFIGS.glob("*.yaml")}
