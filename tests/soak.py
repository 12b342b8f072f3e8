"""Play for long and watch memory and time: python -m tests.soak steps=20000 dream=true env=minecraft

One line for every ``every`` steps: the most resident memory and milliseconds of processor time a step since the line
before; then how far the two moved from step 2,000 on. With ``record`` everything is recorded, into a folder that is
removed. Exit code 1 where memory is more than 1% from where it was.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.cli.command import command
from worldsim.config import load
from worldsim.session.tick import Tick

LOOK = 37
SETTLED = 2_000
"""Steps after which nothing new is set up any more."""


@dataclass
class SoakConfig:
    """What is played: ``policy`` in ``env``, with the shipped dream or without one."""

    steps: int = 20_000
    every: int = 1_000
    env: str = "minecraft"
    policy: str = "explore"
    dream: bool = True
    record: bool = False
    seed: int = 3


class Watch:
    """A sink of ticks that looks at this process as they come."""

    def __init__(self, every: int) -> None:
        self._every, self._began, self._most = every, time.process_time(), 0.0
        self.rows: list[tuple[int, float, float]] = []

    def add(self, tick: Tick) -> None:
        """Look at every 37th step, which falls in with nothing; tell the most of it at every ``every``-th."""
        if tick.index % LOOK == 0:
            self._most = max(self._most, resident())
        if tick.index and tick.index % self._every == 0:
            now = time.process_time()
            row = tick.index, self._most, (now - self._began) / self._every * 1e3
            self._began, self._most = now, 0.0
            self.rows.append(row)
            print("step {}: {:.1f} MiB, {:.2f} ms a step".format(*row), flush=True)


def resident() -> float:
    """Resident memory of this process, MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@command
def main(args: list[str]) -> int:
    """Play, watch, tell."""
    config = load(SoakConfig, args)
    from envs.worlds import World
    from worldsim.cli import dreams
    from worldsim.cli.options import parse
    from worldsim.session.headless import play
    from worldsim.session.session import Session
    from worldsim.session.sinks.report import Report

    options = parse(["--env", config.env, "--headless", "--policy", config.policy])
    watch = Watch(config.every)
    with tempfile.TemporaryDirectory() as place:
        record = Path(place) if config.record else None
        world = World(config.env, options.backend, 64, config.seed, None, record, False)
        made: Any = dreams.load(options) if config.dream else None
        session = Session(
            world.env,
            {"memory": made[1]()} if made else {},
            recorder=world.recorder,
            history_from="dream" if config.dream else "true",
        )
        make = lambda info: world.player(config.policy, info)  # noqa: E731
        play(session, make, [Report({}), watch], seed=config.seed, steps=config.steps)
        session.close()
    settled = np.array([row for row in watch.rows if row[0] >= SETTLED])
    if len(settled) < 2:
        return 0
    moved = np.abs(settled[:, 1] / settled[0, 1] - 1).max()
    half = len(settled) // 2
    slower = np.median(settled[half:, 2]) / np.median(settled[:half, 2]) - 1
    print(
        f"from step {SETTLED} on memory moved by {moved:.2%} at most, time a step by {slower:+.1%} in the median"
    )
    return int(moved > 0.01)


if __name__ == "__main__":
    sys.exit(main())
