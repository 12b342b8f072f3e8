"""When the X server is gone, what was recorded and reported is whole."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from envs.episodes.episode import Episode

ROOT = Path(__file__).parents[3]


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb")
def test_a_server_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1300x820x24"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as told:
        display = told.readline().strip()
    if not display:
        pytest.skip("Xvfb does not start")
    env = {k: v for k, v in os.environ.items() if k != "SDL_VIDEODRIVER"}
    env |= {"DISPLAY": f":{display}", "SDL_AUDIODRIVER": "dummy", "PYTHONPATH": str(ROOT)}
    words = ["--env", "gym:MountainCar-v0", "--policy", "random", "--record", "rec", "--report", "r.json"]
    player = subprocess.Popen(
        [sys.executable, str(ROOT / "run_demo.py"), *words], cwd=tmp_path, env=env, stderr=subprocess.PIPE
    )
    try:
        until = time.monotonic() + 100
        while not list(tmp_path.glob("rec/*.partial/frames/000005.png")):
            assert time.monotonic() < until and player.poll() is None
            time.sleep(0.1)
        server.kill()
        said = player.communicate(timeout=100)[1].decode()
    finally:
        for process in (server, player):
            process.kill()
            process.wait()
    assert player.returncode == 2
    assert "error: the display is gone" in said.splitlines()[-1]
    assert json.loads((tmp_path / "r.json").read_text())["steps"] >= 5
    (recorded,) = (tmp_path / "rec").glob("*.zip")
    assert len(Episode(recorded)) >= 6
    assert not list((tmp_path / "rec").glob("*.partial"))
