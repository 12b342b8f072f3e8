"""An autoregressive video diffusion method as data (section 4, appendix F): one YAML file, or a few numbers.

``assets/configs/methods/NAME.yaml`` holds a preset; :func:`method` loads it, with ``key=value`` words over it, and
checks all five conditions of Requirement 1. Nothing that runs a method asks for its name.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from worldsim.config import load
from worldsim.config.shipped import MethodError, method_file
from worldsim.diffusion.references import ReferencePolicy
from worldsim.diffusion.requirements import require_causal
from worldsim.diffusion.samplers import NAMES
from worldsim.diffusion.schedules import Schedule, calls, rolling

SAME_AS_STEPS = "own"


@dataclass
class InitialiseConfig:
    """Algorithm 2: ``frames`` (i_0; the window where it is not given) made at one common level in ``steps`` steps.

    ``references`` are what these frames may see of the past; the policy ``own`` stands for the method's. One whose past
    lives in its window alone begins from nothing otherwise.
    """

    frames: int | None = None
    steps: int = 10
    references: ReferencePolicy = field(default_factory=lambda: ReferencePolicy(policy=SAME_AS_STEPS))


@dataclass
class MemoryWay:
    """How reference frames meet the window: the way in, the compressor, and the budget of latents it keeps."""

    way: str = "prepend"
    compressor: str = "none"
    budget: int | None = None


@dataclass
class MethodConfig:
    """What a method's YAML may say.

    ``stride`` is the window where it is not given. ``frames_per_call`` is FIFO-Diffusion's latent partitioning: a
    window of n x f frames meets the network f frames at a time; the whole window where it is not given. ``steps`` is
    M_ar. For ``lag`` and ``spacing`` see :class:`worldsim.diffusion.schedules.Schedule`.
    """

    source: str = ""
    window: int = 16
    stride: int | None = None
    lag: float = 0.0
    spacing: str = "even"
    frames_per_call: int | None = None
    steps: int = 10
    sampler: str = "ddim"
    eta: float = 0.0
    initialise: InitialiseConfig = field(default_factory=InitialiseConfig)
    references: ReferencePolicy = field(default_factory=ReferencePolicy)
    memory: MemoryWay = field(default_factory=MemoryWay)


@dataclass(frozen=True)
class Method:
    """A method whose five conditions hold.

    Raises:
        ScheduleError, ReferencesError, MethodError: a condition or a number that does not fit; says which.
    """

    name: str
    source: str
    schedule: Schedule
    references: ReferencePolicy
    initial_frames: int
    initial_steps: int
    steps: int
    sampler: str
    eta: float
    frames_per_call: int
    memory: MemoryWay
    initial_references: ReferencePolicy

    def __post_init__(self) -> None:
        window = self.schedule.window
        for references in (self.references, self.initial_references):
            references.check()
            span = references.count * references.every + references.anchors
            require_causal(references, range(0, span + 2 * window + 1))
        for what, found, least in (
            ("initialise.frames", self.initial_frames, window),
            ("initialise.steps", self.initial_steps, 1),
            ("steps", self.steps, 1),
            ("frames_per_call", self.frames_per_call, 1),
            ("memory.budget", 1 if self.memory.budget is None else self.memory.budget, 1),
        ):
            if found < least:
                raise MethodError(f"{self.name}: {what}: expected at least {least}, found {found}")
        if self.sampler not in NAMES:
            near = difflib.get_close_matches(self.sampler, NAMES, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the samplers are {', '.join(NAMES)}"
            raise MethodError(f"{self.name}: no sampler {self.sampler!r}; {hint}")

    @property
    def context_level(self) -> float:
        """Noise level at which reference frames are shown."""
        return self.references.level

    @property
    def history(self) -> int:
        """Most past frames that may reach the denoiser."""
        return self.references.most

    @property
    def budget(self) -> int | None:
        """Latents that the reference frames are compressed to; None: they are not."""
        return self.memory.budget

    @property
    def calls(self) -> int:
        """Network calls of one autoregressive step."""
        return calls(self.schedule, self.steps) * -(-self.schedule.window // self.frames_per_call)


def build(name: str, config: MethodConfig) -> Method:
    """The method that a configuration describes; see :class:`Method` for what is checked."""
    c, window = config, config.window
    return Method(
        name,
        c.source,
        rolling(window, window if c.stride is None else c.stride, c.lag, c.spacing),
        c.references,
        window if c.initialise.frames is None else c.initialise.frames,
        c.initialise.steps,
        c.steps,
        c.sampler,
        c.eta,
        window if c.frames_per_call is None else min(window, c.frames_per_call),
        c.memory,
        c.references if c.initialise.references.policy == SAME_AS_STEPS else c.initialise.references,
    )


def method(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Method:
    """A preset by name, or a method from a YAML file, with ``key=value`` words such as ``window=8`` over it.

    Raises:
        MethodError: no such preset or file.
        ConfigError: a key or a value that does not exist.
        ScheduleError, ReferencesError: a condition of Requirement 1 does not hold.
    """
    file = method_file(name_or_path)
    return build(file.stem, load(MethodConfig, list(overrides), file))
