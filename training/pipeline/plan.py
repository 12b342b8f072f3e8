"""The stages of a run, what each is told, and its share of the time."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training import collect, collect_walks
from training.pipeline.worlds import SHORTEST, World
from training.train import autoencoder as train_autoencoder
from training.train import denoiser as train_denoiser
from training.train import generator as train_generator
from training.train import odometry as train_odometry
from training.train import pixels as train_pixels
from worldsim.config import ConfigError, load
from worldsim.runtime import pick_device
from worldsim.runtime import precision as checked_precision

SHORT = 600.0
"""Seconds of a stage below which it is told to begin faster and to look at less."""
LIGHT = 1200.0
"""Seconds of a whole run without a GPU below which its networks are small: large ones would see few batches."""
MANY = 100_000  # episodes; the time ends their collection
PLACES = {"out", "data", "checkpoint", "walks"}
"""Words of a stage that name a folder which others read or write."""


@dataclass
class Config:
    """``hours`` or ``minutes`` in all; ``out`` is the run's folder, runs/WORLD unless told otherwise.

    ``policy`` plays (that of the world unless told otherwise), ``steps`` an episode, by ``workers`` processes.
    """

    hours: float = 0.0
    minutes: float = 0.0
    out: str = ""
    policy: str = ""
    steps: int = 300
    size: int = 64
    seed: int = 0
    workers: int = 2
    threads: int = 0
    precision: str = "auto"

    def __post_init__(self) -> None:
        if (self.hours != 0) == (self.minutes != 0):
            raise ConfigError("expected hours=H or minutes=M, how long to train, and not both")
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            name = "hours" if self.hours else "minutes"
            raise ConfigError(f"{name}: expected a number above 0, found {getattr(self, name)}")
        for name, least in (("steps", 1), ("seed", 0), ("workers", 0), ("threads", 0)):
            if (value := getattr(self, name)) < least:
                raise ConfigError(f"{name}: expected at least {least}, found {value}")
        smallest, largest = collect.SIZES
        if self.size % 8 or not smallest <= self.size <= largest:
            expected = f"a multiple of 8 from {smallest} to {largest}"
            raise ConfigError(f"size: expected {expected}, found {self.size}")
        checked_precision(self.precision, pick_device("auto"))

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return 3600 * self.hours + 60 * self.minutes

    @property
    def light(self) -> bool:
        """Whether small networks learn more in this time, here."""
        return self.seconds < LIGHT and pick_device("auto").type == "cpu"


@dataclass(frozen=True)
class Stage:
    """One command of a run.

    Attributes:
        name: what it is called here, and its folder in the run.
        line: what it does.
        share: of the time, beside those of the others.
        main: the command's function.
        config: of its words.
        words: what it is told, of its seconds.
        asked: what the user told it, which counts last.
    """

    name: str
    line: str
    share: float
    main: Callable[[list[str]], int]
    config: type[Any]
    words: Callable[[float], list[str]]
    asked: tuple[str, ...] = ()

    def given(self, seconds: float) -> list[str]:
        """Its words, the user's last."""
        return [*self.words(seconds), *self.asked]


SCORE, SCORE_SHARE = "score", 5.0
"""The last stage is not a command: the checkpoint is measured, and its card written."""


def stages(world: World, config: Config, out: Path, asked: dict[str, list[str]]) -> list[Stage]:
    """What makes a dream of a world, in its order; a world that tells no pose takes the path that needs none.

    Args:
        asked: words for single stages, by their names.

    Raises:
        ConfigError: a stage that does not exist, one with words that it does not know or that would part it from the
            others, or episodes too short for one.
    """
    found = _posed(world, config, out) if world.posed else _poseless(world, config, out)
    if world.recordings is None:
        found = [_collect(world, config, out), *found]
    known = [stage.name for stage in found]
    if strange := [name for name in asked if name not in known]:
        raise ConfigError(f"no stage {strange[0]!r} here; the stages are {', '.join(known)}")
    found = [replace(stage, asked=tuple(asked.get(stage.name, ()))) for stage in found]
    configs = {}
    for stage in found:
        _check_places(stage)
        configs[stage.name] = load(stage.config, stage.given(60.0))  # says now what is misspelt
    if "collect" in configs:
        _check_steps(world, configs)
    return found


def _check_places(stage: Stage) -> None:
    """Whether a stage reads and writes where the others expect it to.

    Raises:
        ConfigError: it is told of another place.
    """
    fixed = {word.partition("=")[0] for word in stage.words(60.0)} & PLACES
    for word in stage.asked:
        if (key := word.partition("=")[0]) in fixed:
            raise ConfigError(f"{stage.name}.{key} follows from the run; out=DIR moves all of it")


def _check_steps(world: World, configs: dict[str, Any]) -> None:
    """Whether the episodes that are to be collected are long enough for every stage.

    Raises:
        ConfigError: they are not.
    """
    needs = {"memory": configs["memory"].clip.length}
    if world.posed:
        needs |= {"odometry": configs["odometry"].length, "pixels": SHORTEST - 1}
    stage = max(needs, key=lambda name: needs[name])
    if configs["collect"].steps < needs[stage]:
        raise ConfigError(
            f"steps: expected at least {needs[stage]}, which {stage} needs, found {configs['collect'].steps}"
        )


def data(world: World, out: Path) -> Path:
    """The episodes that are trained on."""
    return world.recordings or out / "data"


def _common(config: Config, out: Path, name: str, seconds: float) -> list[str]:
    """What every trainer is told. Measuring and saving take a part of its time, and so does what comes before."""
    training = max(0.75 * seconds, seconds - 15)
    return [
        f"out={out / name}",
        f"seconds={training:.1f}",
        f"seed={config.seed}",
        f"threads={config.threads}",
        f"precision={config.precision}",
        # Looking on the way is for who waits for hours: measuring takes as long as some steps.
        f"sample_every={seconds / 10 if seconds >= SHORT else 1e6:.0f}",
    ]


def _warmup(seconds: float) -> str:
    return f"optimizer.warmup={int(min(100, max(5, seconds / 6)))}"


def _small(part: str, depth: int) -> list[str]:
    """A transformer of a light run."""
    return [f"{part}.width=128", f"{part}.depth={depth}", f"{part}.heads=2"]


def _collect(world: World, config: Config, out: Path) -> Stage:
    def words(seconds: float) -> list[str]:
        return [
            f"env={world.env}",
            f"policy={config.policy or world.policy}",
            f"out={out / 'data'}",
            f"episodes={MANY}",
            f"steps={config.steps}",
            f"size={config.size}",
            f"seed={config.seed}",
            f"workers={1 if world.env == 'luanti' else config.workers}",
            f"seconds={seconds:.1f}",
        ]

    line = f"episodes of {world.name}, played by {config.policy or world.policy}"
    return Stage("collect", line, 10.0, collect.main, collect.CollectConfig, words)


def _autoencoder(world: World, config: Config, out: Path, share: float) -> Stage:
    def words(seconds: float) -> list[str]:
        return [
            f"data={data(world, out)}",
            *_common(config, out, "autoencoder", seconds),
            _warmup(seconds),
            f"optimizer.ema={0.97 if seconds < SHORT else 0.99}",
        ]

    line = "frames to latents and back"
    return Stage("autoencoder", line, share, train_autoencoder.main, train_autoencoder.Config, words)


def _memory(world: World, config: Config, out: Path, share: float) -> Stage:
    def words(seconds: float) -> list[str]:
        return [
            f"data={data(world, out)}",
            f"autoencoder={out / 'autoencoder' / 'autoencoder.safetensors'}",
            *_common(config, out, "memory", seconds),
            f"memory.scene_scale={world.scene_scale}",
            f"latents={out / 'latents'}",
            _warmup(seconds),
            f"optimizer.ema={0.9 if seconds < SHORT else 0.995}",
            *(["clip.batch=4", "reads.batch=8", "held_out_batches=2"] if seconds < SHORT else []),
            *(_small("denoiser", 3) if config.light else []),
            # Most of what a random player survives is short, and shorter clips are more of them.
            *(["clip.length=8"] if config.light and not world.posed else []),
        ]

    line = "memory, its reader, denoiser and dead reckoning"
    return Stage("memory", line, share, train_denoiser.main, train_denoiser.Config, words)


def _poseless(world: World, config: Config, out: Path) -> list[Stage]:
    return [_autoencoder(world, config, out, 28.0), _memory(world, config, out, 55.0)]


def _posed(world: World, config: Config, out: Path) -> list[Stage]:
    latents = f"latents={out / 'latents'}"  # of one autoencoder, encoded once

    def part(before: str, name: str, seconds: float) -> list[str]:
        return [
            f"data={data(world, out)}",
            f"checkpoint={out / before / 'checkpoint'}",
            *_common(config, out, name, seconds),
        ]

    def odometry(seconds: float) -> list[str]:
        return [*part("memory", "odometry", seconds), latents, _warmup(seconds)]

    def pixels(seconds: float) -> list[str]:
        words = [*part("odometry", "pixels", seconds), latents]
        words.append(f"head_start={int(min(600, max(5, seconds / 3)))}")
        if seconds < SHORT:
            words += ["dreams.first=1", "dreams.longest=48", "dreams.every=50", _warmup(seconds)]
            words.append("held_out_batches=4")
        return words

    def walks(seconds: float) -> list[str]:
        return [
            f"checkpoint={out / 'pixels' / 'checkpoint'}",
            f"data={data(world, out)}",
            f"out={out / 'walks'}",
        ]

    def generator(seconds: float) -> list[str]:
        words = [
            f"checkpoint={out / 'pixels' / 'checkpoint'}",
            f"walks={out / 'walks'}",
            *_common(config, out, "generator", seconds),
        ]
        if seconds < SHORT:
            words += ["compile=false", "clip.batch=8", "rates.warmup=10", "rates.ema=0.95"]
            return [*words, *(_small("generator", 4) if config.light else [])]
        return words if compiles() else [*words, "compile=false"]

    # An autoencoder begins as principal components, which are most of what it comes to. A generator takes the place of
    # the denoiser: in a short run that is only good enough to learn the memory of pixels by.
    sees, remembers, draws = (8.0, 10.0, 47.0) if config.light else (8.0, 14.0, 43.0)
    return [
        _autoencoder(world, config, out, sees),
        _memory(world, config, out, remembers),
        Stage("odometry", "dead reckoning alone", 5.0, train_odometry.main, train_odometry.Config, odometry),
        Stage("pixels", "the memory of pixels", 11.0, train_pixels.main, train_pixels.Config, pixels),
        Stage("walks", "the episodes in latents", 4.0, collect_walks.main, collect_walks.Config, walks),
        Stage("generator", "what draws", draws, train_generator.main, train_generator.Config, generator),
    ]


def compiles() -> bool:
    """Whether there is a C++ compiler, which torch.compile needs on a CPU."""
    return any(shutil.which(name) for name in ("c++", "g++", "clang++", "cl"))
