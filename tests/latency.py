"""From a key to the picture that answers it, in a browser and in the window: python -m tests.latency env=minecraft

A server and a Chromium without a screen, then the window without one (SDL's dummy driver), one after the other, on one
machine, with the shipped dream at ``size`` pixels. W is pressed and let go ``presses`` times; in the page the time ends
when the browser has painted, as its HUD says, in the window when the picture was flipped. One line each: n, p50, p99
and frames a second of world, dream and page.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.cli.command import command
from worldsim.config import load
from worldsim.session.processes import environment

ROOT = Path(__file__).parents[1]


@dataclass
class LatencyConfig:
    """``presses`` of a key, about two a second, after ``warm`` seconds."""

    env: str = "minecraft"
    size: int = 128
    presses: int = 100
    warm: float = 10.0
    seed: int = 3


def in_browser(config: LatencyConfig, folder: str) -> str:
    """What the page says of itself."""
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    words = [
        "--env",
        config.env,
        "--browser",
        "--port",
        "0",
        "--seed",
        str(config.seed),
        f"size={config.size}",
    ]
    served = subprocess.Popen(
        [sys.executable, str(ROOT / "run_demo.py"), *words],
        cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert served.stdout is not None
        found = next(filter(None, (re.search(r"http://\S+", line) for line in served.stdout)))
        with sync_playwright() as started:
            browser = started.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
            )
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(found.group())
            page.wait_for_selector(".pane canvas", timeout=600_000)
            page.wait_for_timeout(config.warm * 1000)
            first, began = _index(page), time.monotonic()
            for pause in _pauses(config):
                page.keyboard.down("w")
                page.wait_for_timeout(pause * 500)
                page.keyboard.up("w")
                page.wait_for_timeout(pause * 500)
            rate = (_index(page) - first) / (time.monotonic() - began)
            told = f"{page.inner_text('#latency')}; {page.inner_text('#dropped')}; {rate:.1f} frames/s"
            browser.close()
            return told
    finally:
        served.terminate()
        served.wait()


def in_window(config: LatencyConfig) -> str:
    """The same of the window, in this process."""
    os.environ.update(SDL_VIDEODRIVER="dummy", SDL_AUDIODRIVER="dummy")
    import pygame

    from envs.worlds import World
    from worldsim.cli import dreams
    from worldsim.cli.options import parse
    from worldsim.player.keymap import KEYMAPS
    from worldsim.player.loop import Player
    from worldsim.session.session import Session

    options = parse(["--env", config.env, f"size={config.size}"])
    found: Any = dreams.load(options)
    world = World(config.env, options.backend, config.size, config.seed, None, None, False)
    keymap, ticks = KEYMAPS[config.env](), list[float]()
    player = Player(Session(world.env, {"memory": found[1]()}), keymap)
    asked, took, flip = list[float](), list[float](), pygame.display.flip

    def flipped() -> None:
        flip()
        tick, now = player._board.tick, time.perf_counter()
        ticks.append(now)
        if asked and tick.action is not None and "forward" in keymap.intent(tick.action).held:
            took.append((now - asked.pop()) * 1e3)

    def hands() -> None:
        time.sleep(config.warm)
        for pause in _pauses(config):
            asked[:] = [time.perf_counter()]
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_w))
            time.sleep(pause / 2)
            pygame.event.post(pygame.event.Event(pygame.KEYUP, key=pygame.K_w))
            time.sleep(pause / 2)
        pygame.event.post(pygame.event.Event(pygame.QUIT))

    pygame.display.flip = flipped  # type: ignore[assignment]
    threading.Thread(target=hands, daemon=True).start()
    player.run(seed=config.seed)
    p50, p99 = np.percentile(took, [50, 99])
    rate = (len(ticks) - 1) / (ticks[-1] - ticks[0])
    return f"key to picture: p50 {p50:.0f} ms, p99 {p99:.0f} ms (n={len(took)}); {rate:.1f} frames/s drawn"


def _pauses(config: LatencyConfig) -> list[float]:
    """Seconds between two presses: not in step with the world's ticks."""
    rng = random.Random(config.seed)
    return [rng.uniform(0.4, 0.6) for _ in range(config.presses)]


def _index(page: Any) -> int:
    found = re.search(r"frame (\d+)", page.inner_text(".pane >> nth=0 >> p"))
    return int(found.group(1)) if found else 0


@command
def main(args: list[str]) -> None:
    """Measure both and print a line each."""
    config = load(LatencyConfig, args)
    with tempfile.TemporaryDirectory() as folder:
        print("browser", in_browser(config, folder), flush=True)
    print("window ", in_window(config), flush=True)


if __name__ == "__main__":
    sys.exit(main())
