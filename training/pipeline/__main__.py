"""Train a dream from nothing to playing it: python -m training.pipeline WORLD hours=H

WORLD is blocks, labmaze, luanti, doom, gym:ENV_ID, or a folder of recordings. Collects if it must, then trains
autoencoder, memory, dead reckoning, pixels and generator, each with its share of the time, and ends with scores, strips
and a card. Killed at any moment, the same command goes on. A world that tells no pose takes the path that needs none.

  hours=H or minutes=M   in all          out=DIR       runs/WORLD unless told otherwise
  size=64                pixels          policy=NAME   who plays, steps=300 an episode
  workers=2              that play       precision=auto, threads=0, seed=0

A word for one stage begins with its name: generator.clip.batch=32. Each stage is a command of its own too.
"""

from __future__ import annotations

import sys
from pathlib import Path

from training.pipeline import plan
from training.pipeline.run import Run, run
from training.pipeline.worlds import find
from worldsim.cli.command import command
from worldsim.config import ConfigError, load

STAGES = ("collect", "autoencoder", "memory", "odometry", "pixels", "walks", "generator")


def for_stages(words: list[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Words of the whole, and those of single stages without their names."""
    general: list[str] = []
    asked: dict[str, list[str]] = {}
    for word in words:
        name, dot, rest = word.partition(".")
        if dot and name in STAGES:
            asked.setdefault(name, []).append(rest)
        else:
            general.append(word)
    return general, asked


@command
def main(words: list[str]) -> int:
    """Parse, plan, run."""
    if not words or words[0].startswith("-") or "=" in words[0]:
        raise ConfigError("expected a world first: worldsim train WORLD hours=H; see worldsim train --help")
    name, *rest = words
    general, asked = for_stages(rest)
    world = find(name)
    config = load(plan.Config, general)
    out = Path(config.out or f"runs/{world.slug}")
    stages = plan.stages(world, config, out, asked)
    fixed = {"world": name, **vars(config), "stages": asked}
    for changeable in ("workers", "threads"):
        fixed.pop(changeable)
    work = Run(world, config, out, " ".join(["worldsim train", *words]), stages)
    run(work, fixed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
