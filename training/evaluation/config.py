"""The words of an evaluation, and the dreams that they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from envs.episodes.episode import Episode
from worldsim.config import ConfigError
from worldsim.diffusion.methods import method
from worldsim.dream.env import Dream
from worldsim.dream.registry import Options, Source
from worldsim.session.interfaces import BLIND

ALL = "all"  # every preset, one after the other


@dataclass
class Config:
    """``farthest``: how many frames ahead at most, 1 to 64; ``starts``: how often an episode is begun from, 0 for as
    often as there is room; ``workers``: processes of this machine, one thread each unless ``threads`` says more;
    ``cluster``: local, or a Ray cluster (docs/cluster.md)."""

    checkpoint: str = MISSING
    ahead: str = ""
    needle: str = ""
    alone: str = ""
    strips: str = ""
    out: str = ""
    episodes: int = 0
    context: int = 64
    farthest: int = 64
    starts: int = 0
    blind: int = BLIND
    budget: int = 16
    denoising_steps: int = 2
    pose_from: str = "dream"
    precision: str = "fp32"
    second: bool = True
    alone_after: int = 0  # 0: what the checkpoint says
    method: str = ""
    perceptual: str = "auto"  # true, false, or auto: where it is installed
    seed: int = 0
    device: str = "auto"
    threads: int = 0
    workers: int = 1
    cluster: str = "local"

    def __post_init__(self) -> None:
        for name in ("blind", "context"):
            if (value := getattr(self, name)) < 1:
                raise ConfigError(f"{name}: expected at least 1 frame, found {value}")
        if self.workers < 1:
            raise ConfigError(f"workers: expected at least 1 process, found {self.workers}")
        for name in ("episodes", "threads"):
            if (value := getattr(self, name)) < 0:
                raise ConfigError(f"{name}: expected at least 0, found {value}")
        if self.farthest < 1 or self.starts < 0:
            raise ConfigError(
                f"expected farthest of at least 1 and starts of at least 0, found {self.farthest} and {self.starts}"
            )
        self.perceptual = self.perceptual.lower()
        if self.perceptual not in ("auto", "true", "false"):
            raise ConfigError(f"perceptual: expected auto, true or false, found {self.perceptual}")


def dream_of(
    source: Source, config: Config, episodes: list[Episode], history: int | None = None
) -> Dream[Any]:
    """A dream as the words ask for it, of pictures as large as the episodes'; a method keeps its own dials.

    Raises:
        DreamError: it does not have these dials, or no pictures of that size.
    """
    options = Options(
        method=method(config.method) if config.method else None,
        precision=config.precision,
        second=config.second,
        alone_after=config.alone_after or None,
        size=episodes[0].frames(0, 1).shape[1],
        action_spec=episodes[0].meta["action_spec"],
    )
    settings: dict[str, Any] = {"seed": config.seed, "history": history}
    if source.loaded is not None and not config.method:
        settings["denoising_steps"] = config.denoising_steps
    if source.compresses:
        settings |= {"budget": config.budget, "pose_from": config.pose_from}
    return source.dream(options, **settings)
