"""The words of a study: ``python -m training.evaluate table=1 env=blocks key=value ...``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import MISSING

WORLDS = {"blocks": "worldsim/Blocks-v0", "labmaze": "worldsim/LabMaze-v0"}


class StudyError(ValueError):
    """A study that cannot be made as asked."""


@dataclass
class StudyConfig:
    """What to evaluate, from which models and episodes, for how long.

    ``checkpoint`` is the real-time dream; ``prepend`` and ``channel`` are video models, one for each structure of
    section 6.1. Left empty, they are what is shipped for the world, or what ``train`` left under ``out``.
    ``train``: seconds to train a backbone that is missing on ``data``; 0 lists its rows as missing. ``recipe`` are
    words of `training.train_video` over the study's own: ``recipe=[clip.batch=32]``. ``init`` is the checkpoint that it
    begins from: empty for the shipped video model of the world, ``none`` for one of another size.
    ``seconds``: begin no new episode after so long (0: no limit); the same command goes on where it stopped.
    ``only``: evaluate rows of these backbones alone; what else is on disk still enters the tables.
    ``method_episodes`` and ``method_steps`` are for rows of video models, which cost more: 0 is as for the others, and
    the method's own; a method of fewer steps keeps its own. ``rollouts`` is how many episodes Table 4
    takes, ``seeds`` how often each.
    """

    table: int = MISSING
    env: str = MISSING
    out: str = "results"
    checkpoint: str = ""
    prepend: str = ""
    channel: str = ""
    needle: str = ""
    explore: str = ""
    data: str = ""
    train: float = 0.0
    init: str = ""
    recipe: list[str] = field(default_factory=list)
    seconds: float = 0.0
    only: list[str] = field(default_factory=list)
    episodes: int = 10
    method_episodes: int = 0
    method_steps: int = 0
    denoising_steps: int = 2
    pose_from: str = "dream"
    context: int = 64
    rollout: int = 128
    rollouts: int = 8
    seeds: int = 5
    seed: int = 0
    workers: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name, least in (("episodes", 1), ("rollouts", 1), ("seeds", 1), ("rollout", 16), ("context", 1)):
            if getattr(self, name) < least:
                raise StudyError(f"{name}: expected at least {least}, found {getattr(self, name)}")

    def check(self) -> None:
        """What can only be told of a whole configuration.

        Raises:
            StudyError: an unknown table or world.
        """
        if self.table not in (1, 2, 3, 4):
            raise StudyError(f"table: expected 1, 2, 3 or 4, found {self.table}")
        if self.env not in WORLDS:
            raise StudyError(f"env: expected {' or '.join(WORLDS)}, found {self.env!r}")

    @property
    def folder(self) -> Path:
        """Where the results of this world lie."""
        return Path(self.out) / self.env

    @property
    def episodes_folder(self) -> Path:
        """Recorded needle episodes, or for Table 4 explored ones."""
        if self.table == 4:
            return Path(self.explore or f"data/{self.env}_held_explore")
        return Path(self.needle or f"data/{self.env}_held_needle")
