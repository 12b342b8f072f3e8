"""A suite as data for others: worldsim bench export suite=small to=mind|episodes|lerobot|minari|teco out=DIR

``episodes`` are ours, with everything; lerobot, minari and teco are made of them (`worldsim convert` has what they
keep and need). ``mind`` writes MIND's data folders below DIR/truth (context until ``mark_time``, then what is to be
predicted), and with ``model=MODEL`` that model's videos below DIR/MODEL, for MIND's own scoring or for `worldsim bench
mind`: of mirrored episodes, a frame of the way out and the one of the way back that belongs to it. ``worlds=`` and
``tasks=`` choose; what is there already is not written again.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from omegaconf import MISSING
from tqdm import tqdm

from envs.adapters.engine_missing import EngineMissing
from envs.episodes.writer import EpisodeWriter
from envs.worlds import identify
from training.bench import mind
from training.bench.models import dream_of, parse, source_of
from training.bench.suite import Script, Suite, find
from training.bench.tasks.measured import Tools, rollout
from training.bench.tasks.mirror import SCALES, pairs
from training.bench.truth import PLACES, Truth, Worlds
from training.convert.__main__ import WRITERS, take
from worldsim.actions import space_from_spec
from worldsim.cli.command import command
from worldsim.config import ConfigError, load
from worldsim.runtime import pick_device

KINDS = ("mind", "episodes", *WRITERS)


@dataclass
class Config:
    suite: str = "small"
    to: str = MISSING
    out: str = MISSING
    model: str = ""
    worlds: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.to not in (MISSING, *KINDS):
            raise ConfigError(f"to: expected one of {', '.join(KINDS)}, found {self.to}")
        if self.model and self.to != "mind":
            raise ConfigError(f"model: only to=mind has places for a model's frames, found to={self.to}")


@command
def main(words: list[str]) -> int:
    """Export a suite."""
    config = load(Config, words)
    suite, out = find(config.suite), Path(config.out)
    scripts = [
        s
        for s in suite.scripts
        if (not config.worlds or s.world in config.worlds) and (not config.tasks or s.task in config.tasks)
    ]
    with Worlds(suite.size) as worlds:
        made = _model(config, worlds, suite) if config.model else None
        for script in tqdm(scripts, config.to, unit="episode", file=sys.stderr):
            try:
                truth = worlds.play(suite, script)
            except EngineMissing as error:
                print(f"{script.id} left out: {error}", file=sys.stderr)
                continue
            if config.to == "mind":
                _to_mind(truth, out, made and made(script), worlds)
            else:
                _to_episode(suite, truth, out / "episodes" / script.world)
    if config.to in WRITERS:
        for folder in sorted((out / "episodes").iterdir()):
            print(f"{folder.name}: {take(folder, out / config.to / folder.name, config.to)}")
    print(f"{len(scripts)} episodes of {suite.label} in {out}")
    return 0


def _model(config: Config, worlds: Worlds, suite: Suite) -> Any:
    """What gives a model's name and its dream of a script's world."""
    model = parse(config.model)
    source = source_of(model, pick_device(config.device))
    dreams: dict[str, Any] = {}

    def of(script: Script) -> tuple[str, Any]:
        if script.world not in dreams:
            dreams[script.world] = dream_of(model, source, worlds.spec(script.world), suite.size)
        return model.slug, dreams[script.world]

    return of


def _to_mind(truth: Truth, out: Path, model: tuple[str, Any] | None, worlds: Worlds) -> None:
    script = truth.script
    if script.task != "mirror" and truth.start < len(truth.walk.frames):
        mind.write_truth(truth, out / "truth", script.id)
    if model is None:
        return
    path = mind.place(out / model[0], script.task == "mirror", script.id)
    if path.exists():
        return
    shown = rollout(model[1], truth, Tools(worlds, None), truth.start)
    if script.task == "mirror":
        assert truth.walk.poses is not None
        out_at, back_at = truth.marks
        whole = np.concatenate([truth.walk.frames[:out_at], shown])
        nearest = pairs(truth.walk.poses, out_at, back_at, SCALES[script.world])
        shown = np.concatenate([whole[out_at : back_at - 1], whole[nearest][::-1]])
    mind.save(path, shown)


def _to_episode(suite: Suite, truth: Truth, folder: Path) -> None:
    """One of our episodes, named as in the suite."""
    script, walk = truth.script, truth.walk
    if (folder / f"{script.id}.zip").exists():
        return
    env_id, kwargs = identify(*PLACES[script.world])
    meta = {
        "env_id": env_id,
        "env_kwargs": {"size": suite.size, **kwargs},
        "family": PLACES[script.world][0],
        "backend": PLACES[script.world][1],
        "action_spec": truth.action_spec,
        "seed": script.seed,
        "size": suite.size,
        "suite": suite.label,
        "task": script.task,
        "context": truth.start,
        "marks": list(truth.marks),
    }
    poses = walk.poses if walk.poses is not None else [None] * len(walk.frames)
    space = space_from_spec(truth.action_spec)
    writer = EpisodeWriter(folder, script.id, meta)
    writer.first(walk.frames[0], poses[0])
    for i, row in enumerate(walk.actions):
        writer.add(spaces.unflatten(space, row), walk.frames[i + 1], poses[i + 1])
    writer.seal()


if __name__ == "__main__":
    sys.exit(main())
