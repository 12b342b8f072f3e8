"""The words of a study: ``python -m training.evaluate table=1 env=blocks key=value ...``, or ``figure=10``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import MISSING

from training.loop.cluster import LOCAL, Place

FIGURE = 10
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
    ``method_episodes`` and ``method_steps`` are for rows of video models, which cost more: few, so that a table of the
    shipped models takes less than 20 minutes of two cores; 0 is as for the others, and the method's own. A method of
    fewer steps keeps its own. ``rollouts`` is how many episodes Table 4 takes, ``seeds`` how often each; Figure 10
    takes as many, with ``timesteps`` network calls a frame. ``second`` lets a dream's second denoiser take over in
    them, as in play: left out, one network is the whole dream, which is what the paper's theory is of. ``workers`` are
    processes of this machine, 0 for its cores, at most 8; ``cluster=auto`` takes a Ray cluster's (docs/cluster.md).
    """

    table: int = 0
    figure: int = 0
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
    method_episodes: int = 2
    method_steps: int = 4
    denoising_steps: int = 2
    timesteps: int = 8
    pose_from: str = "dream"
    second: bool = False
    context: int = 64
    rollout: int = 128
    rollouts: int = 8
    seeds: int = 5
    seed: int = 0
    workers: int = 0
    cluster: str = LOCAL
    device: str = "auto"

    def __post_init__(self) -> None:
        Place(self.cluster)
        for name, least in (
            ("episodes", 1),
            ("rollouts", 1),
            ("seeds", 1),
            ("rollout", 16),
            ("context", 1),
            ("timesteps", 1),
        ):
            if getattr(self, name) < least:
                raise StudyError(f"{name}: expected at least {least}, found {getattr(self, name)}")

    def check(self) -> None:
        """What can only be told of a whole configuration.

        Raises:
            StudyError: an unknown table or world.
        """
        if self.table not in (0, 1, 2, 3, 4):
            raise StudyError(f"table: expected 1, 2, 3 or 4, found {self.table}")
        if self.figure not in (0, FIGURE):
            raise StudyError(
                f"figure: expected {FIGURE}, found {self.figure}; Figure 16 is the same in other worlds"
            )
        if bool(self.table) == bool(self.figure):
            raise StudyError("expected either table=1, 2, 3 or 4 or figure=10, found both or neither")
        if self.env not in WORLDS:
            raise StudyError(f"env: expected {' or '.join(WORLDS)}, found {self.env!r}")

    @property
    def number(self) -> int:
        """Of the table, or of the figure."""
        return self.table or self.figure

    @property
    def name(self) -> str:
        """What its results are called: ``table1``, ``figure10``."""
        return f"table{self.table}" if self.table else f"figure{self.figure}"

    @property
    def rolls(self) -> bool:
        """Whether it is made of long rollouts, not of needles."""
        return self.number in (4, FIGURE)

    @property
    def folder(self) -> Path:
        """Where the results of this world lie."""
        return Path(self.out) / self.env

    @property
    def episodes_folder(self) -> Path:
        """Recorded needle episodes, or for rollouts explored ones."""
        if self.rolls:
            return Path(self.explore or f"data/{self.env}_held_explore")
        return Path(self.needle or f"data/{self.env}_held_needle")
