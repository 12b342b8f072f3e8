"""The words of a bench."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from training.bench.suite import TASKS, WORLDS
from training.loop.cluster import LOCAL, Place
from worldsim.config import ConfigError


@dataclass
class Tolerance:
    """By how much a number may get worse before a gate fails, in its own unit."""

    ssim: float = 0.01
    psnr: float = 0.3
    lpips: float = 0.01
    srr: float = 0.05
    fd: float = 5.0
    precision: float = 0.1
    coverage: float = 0.1
    smoothness: float = 0.005
    steadiness: float = 0.005
    turn: float = 0.05
    move: float = 0.05
    turn_error: float = 0.5
    step_error: float = 0.02

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value >= 0):  # NaN too, which nothing is worse than
                raise ConfigError(f"tolerance.{name}: expected a number of 0 or more, found {value}")


@dataclass
class Config:
    """What ``worldsim bench`` takes besides the models.

    Attributes:
        suite: a name or the folder of one; worlds, tasks: only these of it.
        out: folder of the results, runs/bench/SUITE unless given; a second run goes on in it.
        against: a model, or a bench.json, that the models are compared with; tolerance: what that allows.
        twin: also every model with its shortest history.
        minutes: after so many no episode is begun, 0 for no limit; the models share them.
        frame_seconds: what one frame may take at most; load_seconds: what loading a model may.
        perceptual: LPIPS and distances of pictures: true, false, or auto, where they are installed.
        cluster: where episodes are played: local, one after the other, or on a Ray cluster (docs/cluster.md).
        isolate: a process for every model, which alone can stop one that hangs.
    """

    suite: str = "small"
    out: str = ""
    against: str = ""
    worlds: list[str] = field(default_factory=lambda: list(WORLDS))
    tasks: list[str] = field(default_factory=lambda: list(TASKS))
    tolerance: Tolerance = field(default_factory=Tolerance)
    twin: bool = False
    minutes: float = 0.0
    frame_seconds: float = 20.0
    load_seconds: float = 600.0
    perceptual: str = "auto"
    isolate: bool = True
    threads: int = 1
    device: str = "auto"
    cluster: str = LOCAL
    seed: int = 0

    def __post_init__(self) -> None:
        Place(self.cluster)
        for name, known in (("worlds", WORLDS), ("tasks", TASKS)):
            if not getattr(self, name):
                raise ConfigError(f"{name}: expected some of {', '.join(known)}, found none")
            if wrong := [word for word in getattr(self, name) if word not in known]:
                raise ConfigError(f"{name}: expected some of {', '.join(known)}, found {wrong[0]}")
        self.perceptual = self.perceptual.lower()
        if self.perceptual not in ("auto", "true", "false"):
            raise ConfigError(f"perceptual: expected auto, true or false, found {self.perceptual}")
        times = (self.frame_seconds, self.load_seconds, self.minutes)
        if not all(map(math.isfinite, times)) or min(times[:2]) <= 0 or self.minutes < 0 or self.threads < 1:
            raise ConfigError(
                "expected frame_seconds, load_seconds and threads above 0, and minutes of 0 or more"
            )
