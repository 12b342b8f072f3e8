"""Every example runs as it stands."""

from __future__ import annotations

import importlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_the_notebook_plays_and_shows_a_video(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[bytes] = []

    class Video:
        def __init__(self, data: bytes, embed: bool, mimetype: str) -> None:
            assert embed and mimetype == "video/mp4"
            shown.append(data)

    display = types.SimpleNamespace(Video=Video)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    cells = json.loads((EXAMPLES / "play_in_a_notebook.ipynb").read_text())["cells"]
    names: dict[str, Any] = {"__name__": "notebook"}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert "SSIM of the last 10 frames: dream 0." in capsys.readouterr().out
    assert len(names["rows"]) == 58 and b"ftyp" in shown[0][:12]


def test_a_checkpoint_is_measured() -> None:
    from examples.measure_checkpoint import measure

    found = measure("labmaze", episodes=1, steps=40)
    assert set(found) == {"0-16", "16-48", "48-112"}
    assert found["0-16"]["memory"]["n"] > 0 and 0 < found["0-16"]["memory"]["mean"] <= 1


def test_a_world_of_ones_own_is_one_of_gymnasiums(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from envs.episodes.episode import Episode
    from worldsim_app import play

    monkeypatch.syspath_prepend(str(EXAMPLES))
    words = ["--env", "gym:bring_a_world:Ball-v0", "--headless", "--steps", "5", "--record", str(tmp_path)]
    assert play.main(words) == 0
    (file,) = tmp_path.glob("*.zip")
    with Episode(file) as episode:
        assert len(episode) == 6 and episode.poses is None
    ball = importlib.import_module("bring_a_world").Ball()
    before, _ = ball.reset(seed=0)
    after = ball.step(2)[0]
    assert not np.array_equal(before, after) and ball.get_keys_to_action()[("right",)] == 2
