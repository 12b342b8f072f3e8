"""Noise levels of a method: what enters and leaves one autoregressive step, and the path between (section 4).

Levels run from 0 (clean) to 1 (noise): the unit interval stands for the paper's [0, T].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from worldsim.diffusion.requirements import TOLERANCE, ScheduleError, require

SPACINGS: dict[str, tuple[float, bool]] = {
    "even": (1.0, False),
    "a1": (2.0, False),
    "a2": (2.0, True),
    "b1": (3.0, False),
    "b2": (3.0, True),
}
"""Order of the polynomial that spaces the levels, and whether it is turned round: the four timestep sets of section
6.2. (a,1) and (b,1) crowd the levels near clean, (a,2) and (b,2) near noise."""


@dataclass(frozen=True)
class Schedule:
    """Window w, stride delta, input levels L_in and output levels L_out of a method (Algorithm 1).

    Construction checks Requirement 1.

    Args:
        paces: where constant pace is relaxed, the pace alpha_i that each frame moves at instead: in the course of a
            step its level is alpha_i t + delta_i (end of section 4). Any common factor is allowed.
        lag: how much of its own way a frame has gone before the next frame starts, within one step: 0 moves all
            together, 1 one after the other. Where every frame goes from 1 to 0 it is AR-Diffusion's timestep
            difference s (Eqn. 5 there) in units of T, and the pyramid of Diffusion Forcing.
        spacing: how the levels of the path lie, one of ``SPACINGS``.

    Raises:
        ScheduleError: a condition of Requirement 1 does not hold; the message names it.
    """

    window: int
    stride: int
    levels_in: tuple[float, ...]
    levels_out: tuple[float, ...]
    paces: tuple[float, ...] | None = None
    lag: float = 0.0
    spacing: str = "even"

    def __post_init__(self) -> None:
        require(self.window, self.stride, self.levels_in, self.levels_out, self.paces)
        if not 0 <= self.lag <= 1:
            raise ScheduleError(
                f"lag: expected 0 (all together) to 1 (one after the other), found {self.lag}"
            )
        _spacing(self.spacing)

    @property
    def relaxed(self) -> str | None:
        """The condition of Requirement 1 that this schedule relaxes, if any."""
        return None if self.paces is None else "constant pace"


def rolling(window: int, stride: int, lag: float = 0.0, spacing: str = "even") -> Schedule:
    """The schedule of any window and stride: a frame takes equal parts of its way in each step it is in the window.

    Window = stride is outpainting, stride 1 is FIFO-Diffusion with the levels of a scheduler (section 4), both 1 is
    next-frame generation. Where the stride divides the window and the spacing is even, every frame moves at one pace;
    otherwise some frames stay for one step fewer, or cross a wider gap, and the paces are declared.

    Raises:
        ScheduleError: not 1 <= stride <= window, or an unknown spacing.
    """
    if not 1 <= stride <= window:
        raise ScheduleError(f"expected 1 <= stride <= window, found window {window} and stride {stride}")
    left = [math.ceil(i / stride) for i in range(1, window + 1)]  # steps until the frame leaves
    stay = [n + (window - i) // stride for i, n in enumerate(left, 1)]  # steps of its whole stay
    places = [(n / m, (n - 1) / m) for n, m in zip(left, stay, strict=True)]
    levels_in = tuple(spaced(i, spacing) for i, _ in places)
    levels_out = tuple(spaced(o, spacing) for _, o in places)
    moves = tuple(i - o for i, o in zip(levels_in, levels_out, strict=True))
    even = len(set(stay)) == 1 and (spacing == "even" or window == stride)
    return Schedule(window, stride, levels_in, levels_out, None if even else moves, lag, spacing)


def next_frame(spacing: str = "even") -> Schedule:
    """Window and stride 1: one frame from noise to clean in each step."""
    return rolling(1, 1, spacing=spacing)


def outpainting(window: int) -> Schedule:
    """Window = stride: a whole block from noise to clean (section 4)."""
    return rolling(window, window)


def fifo(window: int) -> Schedule:
    """Stride 1, levels rising evenly along the window (FIFO-Diffusion, section 4)."""
    return rolling(window, 1)


def asynchronous(window: int, lag: float) -> Schedule:
    """A block whose frames start one after the other: AR-Diffusion's AD scheduler, Diffusion Forcing's pyramid."""
    return rolling(window, window, lag)


def path(schedule: Schedule, steps: int) -> Tensor:
    """Noise levels of every frame at every step: (calls + 1, w), from L_in to L_out (Eqn. 6).

    ``steps`` is how many parts a frame's own way is divided into; with a lag the later frames start later, so that
    :func:`calls` network calls are needed. Levels never fall along the window, in any row. With another spacing than
    even, frames pass through the finer levels of that same spacing.

    Raises:
        ValueError: no step at all.
    """
    rows = calls(schedule, steps)
    start, end = torch.tensor(schedule.levels_in), torch.tensor(schedule.levels_out)
    clock = torch.linspace(0, rows / steps, rows + 1)[:, None]  # (M + 1, 1)
    if schedule.lag:
        turns = schedule.lag * torch.arange(schedule.window, dtype=torch.double)
        late = torch.linspace(0, rows / steps, rows + 1, dtype=torch.double)[:, None] - turns  # (M + 1, w)
        late = torch.where(late >= 1 - TOLERANCE, 1.0, torch.where(late <= TOLERANCE, 0.0, late))
        clock = late.to(start.dtype)
    if schedule.spacing == "even":
        return start + (end - start) * clock  # (M + 1, w)
    order, turned = _spacing(schedule.spacing)
    first, last = _unspaced(start, order, turned), _unspaced(end, order, turned)
    place = first + (last - first) * clock
    levels = 1 - (1 - place) ** order if turned else place**order
    return torch.cat([start[None], levels[1:-1], end[None]])  # the ends are exact


def calls(schedule: Schedule, steps: int) -> int:
    """Network calls of one autoregressive step: ``steps`` (1 + (w - 1) lag), rounded up.

    Raises:
        ValueError: no step at all.
    """
    if steps < 1:
        raise ValueError(f"a step needs at least 1 denoising step, found {steps}")
    return math.ceil(steps * (1 + (schedule.window - 1) * schedule.lag - TOLERANCE))


def spaced(place: float, spacing: str = "even") -> float:
    """Level at a place in [0, 1] along a scheduler's levels, counted from clean.

    Raises:
        ScheduleError: an unknown spacing.
    """
    order, turned = _spacing(spacing)
    return 1 - (1 - place) ** order if turned else place**order


def _spacing(name: str) -> tuple[float, bool]:
    if name not in SPACINGS:
        raise ScheduleError(f"spacing: expected one of {', '.join(SPACINGS)}, found {name!r}")
    return SPACINGS[name]


def _unspaced(level: Tensor, order: float, turned: bool) -> Tensor:
    """The place of a level: the inverse of :func:`spaced`."""
    return 1 - (1 - level) ** (1 / order) if turned else level ** (1 / order)
