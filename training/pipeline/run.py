"""Running the stages one after the other, each in what is left of the time; what was done before is not done again."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from training.loop.claim import claim
from training.loop.progress import listening
from training.pipeline import plan, scoring
from training.pipeline.display import Display, clock
from training.pipeline.plan import SCORE, SCORE_SHARE, Config, Stage
from training.pipeline.reached import description, last, reached
from training.pipeline.state import State
from training.pipeline.worlds import World
from worldsim import checkpoint

LOG, SCORES = "log.txt", "scores.json"
SAVED = 5.0
"""Seconds between two notes of how long a stage has taken."""


@dataclass(frozen=True)
class Run:
    """One run: of which world, how, where, by which command, and its stages."""

    world: World
    config: Config
    out: Path
    command: str
    stages: list[Stage]

    @property
    def checkpoint(self) -> Path:
        """What it ends with."""
        return self.out / "checkpoint"

    @property
    def play(self) -> str:
        """The command that plays it."""
        return self.world.play(self.checkpoint)


def run(work: Run, asked: Mapping[str, object]) -> None:
    """Do what has not been done yet.

    Args:
        asked: what fixes the run; another one in the same folder is refused.

    Raises:
        ConfigError, FolderInUse: the folder holds another run, or one that is going on.
        ValueError, OSError: what a stage says.
    """
    with claim(work.out):
        state = State(work.out, dict(asked))
        if not state.done(SCORE):
            with Display(work.config.seconds, sys.stderr, state.total()) as display:
                _announce(work, state, display)
                for place, stage in enumerate(work.stages):
                    _stage(work, state, display, place, stage)
                _score(work, state, display)
        print(f"\n{(work.checkpoint / checkpoint.CARD).read_text('utf-8')}")
        print(f"{work.out} is trained. Play it:\n  {work.play}")


def _announce(work: Run, state: State, display: Display) -> None:
    seconds = work.config.seconds
    display.line(
        f"{work.world.name} in {clock(seconds)}, into {work.out}; Ctrl-C or a kill, then the same command, goes on"
    )
    every = sum(stage.share for stage in work.stages) + SCORE_SHARE
    lines = [(stage.name, stage.share, stage.line) for stage in work.stages]
    lines.append((SCORE, SCORE_SHARE, "scores, strips and a card"))
    for name, share, line in lines:
        done = state.stages.get(name, {}).get("reached")
        text = (
            f"{clock(state.spent(name))} done: {done}" if done else f"{clock(seconds * share / every)} {line}"
        )
        display.line(f"  {name:12} {text}")


def budget(work: Run, state: State, place: int) -> float:
    """Seconds for the stage at a place: its share of what those before it have left."""
    shares = [*(stage.share for stage in work.stages), SCORE_SHARE]
    before = sum(state.spent(stage.name) for stage in work.stages[:place])
    left = max(0.0, work.config.seconds - before)
    return max(1.0, left * shares[place] / sum(shares[place:]))


def _stage(work: Run, state: State, display: Display, place: int, stage: Stage) -> None:
    if state.done(stage.name):
        return
    seconds = state.begin(stage.name, budget(work, state, place))
    if stage.name == "collect":  # it does not know how long it has collected before
        seconds = max(1.0, seconds - state.spent(stage.name))
    words = stage.given(seconds)
    display.stage(f"{place + 1}/{len(work.stages) + 1}", stage.name)
    # Its own function, and not the command: what goes wrong is this command's to tell.
    main: Callable[[list[str]], object] = getattr(stage.main, "__wrapped__", stage.main)
    with _counted(work, state, display, stage.name):
        print(f"{stage.name}: {' '.join(words)}", flush=True)
        main(words)
        found = reached(stage.name, work.out, plan.data(work.world, work.out))
    state.end(stage.name, found)
    display.line(f"  {stage.name:12} {clock(state.spent(stage.name))} {found}")
    gc.collect()


def _score(work: Run, state: State, display: Display) -> None:
    state.begin(SCORE, budget(work, state, len(work.stages)))
    display.stage(f"{len(work.stages) + 1}/{len(work.stages) + 1}", SCORE)
    with _counted(work, state, display, SCORE):
        source = last(work.out, work.world.posed)
        work.checkpoint.mkdir(exist_ok=True)
        for name in (checkpoint.WEIGHTS, checkpoint.CONFIG):
            shutil.copyfile(source / name, work.checkpoint / name)
        episodes = scoring.held_out(plan.data(work.world, work.out), work.config.seconds / 60)
        scores = scoring.score(work.checkpoint, episodes)
        (work.out / SCORES).write_text(json.dumps(scores, indent=1) + "\n", "utf-8")
        about = description(work.checkpoint)
        facts = [
            f"{s.name}, {clock(state.spent(s.name))}: {state.stages[s.name]['reached']}" for s in work.stages
        ]
        text = scoring.card(work.command, work.play, facts, about, about.model.size, scores)
        (work.checkpoint / checkpoint.CARD).write_text(text, "utf-8")
    state.end(SCORE, f"{work.checkpoint / checkpoint.CARD}")


@contextmanager
def _counted(work: Run, state: State, display: Display, name: str) -> Iterator[None]:
    """While it lasts, what is printed goes into the log, what is told to the display, and time is counted."""
    before, began, saved = state.spent(name), time.monotonic(), time.monotonic()
    environment = dict(os.environ)

    def spent() -> float:
        return before + time.monotonic() - began

    def listen(share: float, numbers: Mapping[str, float]) -> None:
        nonlocal saved
        display.reached(share, numbers)
        if time.monotonic() - saved > SAVED:
            saved = time.monotonic()
            state.took(name, spent())

    with (work.out / LOG).open("a", encoding="utf-8") as log:
        try:
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log), listening(listen):
                yield
        finally:
            state.took(name, spent())
            os.environ.clear()  # what a stage sets for its processes is not the next one's
            os.environ.update(environment)
