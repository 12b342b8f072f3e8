"""Noise levels of a method: what enters and leaves one autoregressive step, and the path between (section 4).

Levels run from 0 (clean) to 1 (noise): the unit interval stands for the paper's [0, T].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from worldsim.requirements import require


@dataclass(frozen=True)
class Schedule:
    """Window w, stride delta, input levels L_in and output levels L_out of a method (Algorithm 1).

    Construction checks Requirement 1.

    Raises:
        ScheduleError: a condition of Requirement 1 does not hold; the message names it.
    """

    window: int
    stride: int
    levels_in: tuple[float, ...]
    levels_out: tuple[float, ...]

    def __post_init__(self) -> None:
        require(self.window, self.stride, self.levels_in, self.levels_out)


def next_frame() -> Schedule:
    """Window and stride 1: one frame from noise to clean in each step."""
    return Schedule(1, 1, (1.0,), (0.0,))


def outpainting(window: int) -> Schedule:
    """Window = stride: a whole block from noise to clean (section 4)."""
    return Schedule(window, window, (1.0,) * window, (0.0,) * window)


def fifo(window: int) -> Schedule:
    """Stride 1, levels rising evenly along the window (FIFO-Diffusion, section 4)."""
    levels = tuple((i + 1) / window for i in range(window))
    return Schedule(window, 1, levels, (0.0, *levels[:-1]))


def path(schedule: Schedule, steps: int) -> Tensor:
    """Noise levels of every frame at every step: (steps + 1, w), from L_in to L_out at constant pace (Eqn. 6)."""
    if steps < 1:
        raise ValueError(f"a step needs at least 1 denoising step, found {steps}")
    start, end = torch.tensor(schedule.levels_in), torch.tensor(schedule.levels_out)
    pace = torch.linspace(0, 1, steps + 1)[:, None]
    return start + (end - start) * pace  # (M + 1, w)
