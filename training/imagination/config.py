"""What the commands of this package take."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from worldsim.config import ConfigError

POLICIES = ("roam", "look_around", "hold_keys")
FRAMES = 300
STRETCHES = ((0, 45), (64, 109), (128, 173), (192, 237), (255, 300))
NOWHERE = "none"  # a cache that is none
CLIP = 16  # frames of what I3D sees at once


@dataclass
class Played:
    """Who is played, where and how: ``seeds`` worlds from ``first_seed`` on, ``context`` true frames, then its own."""

    checkpoint: str = MISSING
    seeds: int = 20
    first_seed: int = 1_200_000
    context: int = 16
    policy: str = "roam"
    denoising_steps: int = 2
    budget: int = 16
    precision: str = "fp32"
    second: bool = True
    out: str = ""
    device: str = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ConfigError(f"expected policy={', '.join(POLICIES)}, found policy={self.policy}")
        if self.seeds < 3 or self.context < 1:
            raise ConfigError(
                f"expected at least 3 seeds and 1 frame of context, found seeds={self.seeds} context={self.context}"
            )


@dataclass
class Config(Played):
    """Of :mod:`training.imagination`. ``frames`` may be fewer than 300: stretches beyond them are left out.

    ``frames_each`` and ``clips_each`` are how many frames, and clips of 16, are looked at in one stretch of one seed.
    """

    frames: int = FRAMES
    memory: bool = True
    twin: bool = True
    other: str = ""
    references: int = 0  # worlds that all others are compared to; 0: as many as seeds
    frames_each: int = 9
    clips_each: int = 2
    neighbours: int = 3  # of other walks
    cache: str = "runs/imagination"
    strips: str = ""
    strips_true: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frames < STRETCHES[0][1]:
            raise ConfigError(f"expected at least {STRETCHES[0][1]} frames, found frames={self.frames}")
        for name, most in (("frames_each", 45), ("clips_each", 30)):
            if not 1 <= getattr(self, name) <= most:
                raise ConfigError(f"expected {name} from 1 to {most}, found {name}={getattr(self, name)}")
        most = (self.seeds - 2) * self.frames_each
        if not 1 <= self.neighbours <= most:
            raise ConfigError(
                f"neighbours: expected 1 to {most}, a stretch's frames of other walks without one seed, found "
                f"{self.neighbours}"
            )
        if not (self.memory or self.twin):
            raise ConfigError("memory=false twin=false leaves no dream to play; set one of them")

    @property
    def stretches(self) -> tuple[tuple[int, int], ...]:
        """The stretches that are played to their end."""
        return tuple(s for s in STRETCHES if s[1] <= self.frames)


@dataclass
class MirrorConfig(Played):
    """Of :mod:`training.imagination.mirror`: how many steps the ways out have."""

    steps: list[int] = field(default_factory=lambda: [8, 16, 32, 64])

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.steps or min(self.steps) < 2:
            raise ConfigError(f"steps: expected ways of at least 2 steps, found {self.steps}")
