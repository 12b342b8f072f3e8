"""Write the suites that come with the program: python -m training.bench.make_suite [NAME ...]

Policies play every episode once; the actions are kept. A suite that has been published is never written again under its
version: change VERSIONS with what it holds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.bench import suite as suites
from training.bench.suite import Script
from training.bench.truth import Worlds
from worldsim.cli.command import command
from worldsim.config import ConfigError, shipped

SIZE = 64
SEEDS = 1_400_000
"""The first seed; no episode that a shipped checkpoint was trained on has one so large."""
TRIES = 20


@dataclass(frozen=True)
class Plan:
    """How many episodes of each task, and how long."""

    about: str
    worlds: tuple[str, ...]
    counts: dict[str, int]
    needle: int
    free: int
    still: int
    steps: tuple[int, ...]  # of mirrored ways out
    ranges: dict[str, tuple[int, ...]] = field(default_factory=dict)  # of loops, by world
    ahead: int = 64 + 64


PLANS = {
    "tiny": Plan(
        "seconds: the gate of a change. Needle and ahead.",
        ("blocks", "labmaze"),
        {"needle": 1, "ahead": 1},
        needle=120,
        free=0,
        still=0,
        steps=(),
        ranges={"blocks": (5,), "labmaze": (5,)},
        ahead=16 + 32,
    ),
    "small": Plan(
        "minutes: every task a few times.",
        ("blocks", "labmaze", "luanti"),
        {"needle": 3, "ahead": 2, "free": 3, "mirror": 2, "loop": 1, "still": 1, "actions": 2},
        needle=200,
        free=316,
        still=16 + 96,
        steps=(16, 32),
        ranges={"blocks": (5, 15), "labmaze": (5, 15), "luanti": (5, 15)},
    ),
    "full": Plan(
        "an hour or more: what results are told by.",
        ("blocks", "labmaze", "luanti"),
        {"needle": 10, "ahead": 5, "free": 10, "mirror": 5, "loop": 3, "still": 3, "actions": 5},
        needle=300,
        free=316,
        still=16 + 256,
        steps=(8, 16, 32, 64),
        ranges=dict.fromkeys(("blocks", "labmaze", "luanti"), (5, 15, 30, 50)),
    ),
}
VERSIONS = {"tiny": 1, "small": 1, "full": 1}


def scripts(plan: Plan) -> Iterator[Script]:
    """Every episode that a plan asks for, not yet played; first ones of all tasks come first."""
    for i in range(max(plan.counts.values())):
        for world in plan.worlds:
            for task, count in plan.counts.items():
                if i < count:
                    yield from _of_task(plan, world, task, SEEDS + i)


def _of_task(plan: Plan, world: str, task: str, seed: int) -> Iterator[Script]:
    def script(name: str, context: int, frames: int = 0, **options: Any) -> Script:
        return Script(f"{world}-{name}-{seed - SEEDS:02d}", world, task, seed, context, frames, (), options)

    if task == "needle":
        yield script("needle", 1, plan.needle)
    elif task == "ahead":
        yield script("ahead", 64 if plan.ahead >= 128 else 16, plan.ahead)
    elif task == "free":
        yield script("free", 16, plan.free)
    elif task == "mirror":
        for steps in plan.steps:
            yield script(f"mirror{steps}", 16, steps=steps, group=f"{steps}")
    elif task == "loop":
        for legs, kind in ((1, "ABA"), (2, "ABCA")):
            for units in plan.ranges[world]:
                yield script(f"{kind}{units}", 1, legs=legs, range=units, group=f"{kind} {units}")
    elif task == "still":
        yield script("still", 16, plan.still)
    else:
        yield script("actions", 16)


def played(worlds: Worlds, script: Script) -> tuple[Script, NDArray[np.float32] | None] | None:
    """A script with what its policy did written down; None where no seed near it gives an episode."""
    if script.world == "luanti":  # its maps do not repeat themselves elsewhere
        return script, None
    for again in range(TRIES):
        truth = worlds.record(replace(script, seed=script.seed + 1000 * again))
        if script.task == "loop" and not truth.marks:
            continue
        context = truth.marks[-1] if script.task == "loop" else script.context
        found = replace(
            truth.script,
            frames=len(truth.walk.frames),
            marks=tuple(truth.marks),
            context=context,
            digest=truth.digest,
        )
        return found, truth.walk.actions
    return None


def make(name: str) -> suites.Suite:
    """Play and write one suite below assets."""
    plan, described, actions = PLANS[name], [], {}
    asked = list(scripts(plan))
    with Worlds(SIZE) as worlds:
        for script in tqdm(asked, name, unit="episode"):
            found = played(worlds, script)
            if found is None:
                print(f"{script.id}: no seed of {TRIES} gives one; left out", file=sys.stderr)
                continue
            described.append(found[0])
            if found[1] is not None:
                actions[script.id] = found[1]
    folder = shipped.ASSETS / "suites" / name
    return suites.write(folder, name, VERSIONS[name], SIZE, plan.about, described, actions)


@command
def main(words: list[str]) -> None:
    """Write the suites that are named, all of them where none is."""
    for name in words or list(PLANS):
        if name not in PLANS:
            raise ConfigError(f"expected a suite of {', '.join(PLANS)}, found {name}")
        suite = make(name)
        print(f"{suite.label}: {len(suite.scripts)} episodes, digest {suite.digest}")


if __name__ == "__main__":
    sys.exit(main())
