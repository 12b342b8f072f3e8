"""A world that draws with SDL is quiet where there is no display, and what was asked for is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from envs.adapters.windowless import windowless

ROOT = Path(__file__).parents[3]


def test_what_was_asked_for_is_kept_and_what_was_not_is_gone_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "x11")
    monkeypatch.delenv("SDL_AUDIODRIVER", raising=False)
    with windowless():
        assert (os.environ["SDL_VIDEODRIVER"], os.environ["SDL_AUDIODRIVER"]) == ("x11", "dummy")
    assert os.environ["SDL_VIDEODRIVER"] == "x11" and "SDL_AUDIODRIVER" not in os.environ


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays of Linux")
def test_a_world_of_pygame_is_collected_without_a_word_about_displays(tmp_path: Path) -> None:
    pytest.importorskip("pygame")
    lacking = ("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "SDL_VIDEODRIVER", "SDL_AUDIODRIVER")
    environment = {k: v for k, v in os.environ.items() if k not in lacking}
    words = ["env=gym:CartPole-v1", "policy=random", "episodes=1", "steps=3", "workers=1", f"out={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-m", "worldsim_app", "collect", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not any(word in done.stderr for word in ("error", "XDG_RUNTIME_DIR", "ALSA")), done.stderr
