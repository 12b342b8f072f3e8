"""FoPP: noise timesteps for training that never fall along the frames, as even as that allows (AR-Diffusion, 3.3).

Timesteps run from 1 to T for each of F frames, t_1 <= ... <= t_F. Uniform compositions and uniform timesteps of each
frame exclude one another under that constraint. FoPP draws one frame f and its timestep t_f uniformly, then the others
uniformly among all compositions that pass through it (Algorithm 1).

The counts, with frames and timesteps from 1:

- d^s[i, j], the compositions (t_i = j, t_{i+1}, ..., t_F): d^s[F, j] = d^s[i, T] = 1 and
  d^s[i, j] = d^s[i, j + 1] + d^s[i + 1, j]. The first term leaves frame i + 1 above j, the second puts it at j.
- d^e[i, j], the compositions (t_1, ..., t_i = j): d^e[1, j] = d^e[i, 1] = 1 and
  d^e[i, j] = d^e[i, j - 1] + d^e[i - 1, j].

The paper prints one recurrence for both, d[i, j] = d[i, j - 1] + d[i - 1, j] with d[*, T] = d[F, *] = 1. The boundary
is that of d^s, the terms are those of d^e. And its algorithm draws every frame into t_f, where t_i is meant.
"""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

CONSTRAINTS = ("equal", "independent", "non_decreasing")
Counts = list[list[int]]


class FoppError(ValueError):
    """Sizes or numbers from which no timesteps can be drawn."""


def counts(frames: int, steps: int) -> tuple[Counts, Counts]:
    """d^s and d^e, exactly: F rows of T integers each, which grow beyond any float.

    Raises:
        FoppError: no frame or no timestep.
    """
    _check(frames, steps)
    ending = [[1] * steps]
    while len(ending) < frames:
        # d^e[i, j] = d^e[i, j - 1] + d^e[i - 1, j], unrolled along j, is a running sum of the row before.
        ending.append(list(accumulate(ending[-1])))
    # Reading a composition backwards and counting timesteps from T down turns one table into the other.
    starting = [row[::-1] for row in reversed(ending)]
    return starting, ending


def log_counts(frames: int, steps: int) -> tuple[Tensor, Tensor]:
    """Logarithms of d^s and d^e, (F, T) each, in double precision: finite at any size.

    Raises:
        FoppError: no frame or no timestep.
    """
    _check(frames, steps)
    rows = [torch.zeros(steps, dtype=torch.double)]
    while len(rows) < frames:
        rows.append(rows[-1].logcumsumexp(0))
    ending = torch.stack(rows)
    return ending.flip(0, 1), ending


def compositions(constraint: str, frames: int, steps: int) -> int:
    """How many timestep compositions a constraint (one of ``CONSTRAINTS``) allows (Fig. 3).

    Raises:
        FoppError: another constraint, no frame or no timestep.
    """
    _check(frames, steps)
    if constraint == "equal":
        return steps
    if constraint == "independent":
        return int(steps**frames)
    if constraint == "non_decreasing":
        return sum(counts(frames, steps)[0][0])
    raise FoppError(f"constraint: expected one of {', '.join(CONSTRAINTS)}, found {constraint!r}")


class Fopp:
    """Draws compositions for F frames and T timesteps (Algorithm 1), a whole batch at once.

    Attributes:
        starting, ending: log d^s and log d^e, (F, T).

    Raises:
        FoppError: no frame or no timestep.
    """

    def __init__(self, frames: int, steps: int) -> None:
        self.frames, self.steps = frames, steps
        self.starting, self.ending = log_counts(frames, steps)
        # Running sums of the counts are the cumulative distributions to draw from, but for a constant.
        self._up_to = self.ending.logcumsumexp(1).numpy()  # of timesteps <= j
        # of timesteps >= T - j, counted from T down
        self._down_to = self.starting.flip(1).logcumsumexp(1).numpy()

    def draw(self, which: Tensor, each: Tensor) -> Tensor:
        """Algorithm 1 from uniform numbers in [0, 1).

        Args:
            which: (B, 2), for the frame f and for its timestep; each: (B, F), for the other frames.

        Returns:
            timesteps (B, F) in 1 ... T, integers on the numbers' device.

        Raises:
            FoppError: numbers of another shape.
        """
        if which.shape != (len(each), 2):
            raise FoppError(
                f"expected ({len(each)}, 2) uniform numbers to choose by, found {(*which.shape,)}"
            )
        frame = (which[:, 0].double() * self.frames).long().clamp(max=self.frames - 1)
        step = (which[:, 1].double() * self.steps).long().clamp(max=self.steps - 1) + 1
        return self.given(frame, step, each)

    def given(self, frame: Tensor, step: Tensor, each: Tensor) -> Tensor:
        """Compositions drawn uniformly among those in which ``frame`` is at timestep ``step``.

        Args:
            frame: (B,), counted from 0; step: (B,), 1 ... T; each: (B, F), uniform in [0, 1).

        Returns:
            timesteps (B, F).

        Raises:
            FoppError: a frame or a timestep that does not exist, or too few numbers.
        """
        if each.dim() != 2 or each.shape[1] != self.frames:
            raise FoppError(f"expected uniform numbers (B, {self.frames}), found {(*each.shape,)}")
        if len(frame) and not (int(frame.min()) >= 0 and int(frame.max()) < self.frames):
            raise FoppError(
                f"frame: expected 0 to {self.frames - 1}, found {int(frame.min())} to {int(frame.max())}"
            )
        if len(step) and not (int(step.min()) >= 1 and int(step.max()) <= self.steps):
            raise FoppError(f"step: expected 1 to {self.steps}, found {int(step.min())} to {int(step.max())}")
        # In numpy, on the processor: hundreds of searches for a handful of numbers each, whatever runs the training.
        share = np.log1p(-each.double().cpu().numpy()).T  # (F, B) in (-inf, 0]: 1 - u is never 0
        f, place = frame.cpu().numpy(), step.cpu().numpy() - 1
        found = np.empty_like(share, dtype=np.int64)  # (F, B), timesteps from 0
        now = place
        for i in range(self.frames - 1, -1, -1):  # earlier frames, each at or below the one after it
            if i < self.frames - 1:
                now = np.where(f > i, _inverse(self._up_to[i], now, share[i]), place)
            found[i] = now
        now, top = place, self.steps - 1
        for i in range(1, self.frames):  # later frames, each at or above the one before it
            now = np.where(f < i, top - _inverse(self._down_to[i], top - now, share[i]), place)
            found[i] = np.where(f < i, now, found[i])
        return torch.from_numpy(found.T + 1).to(each.device)


def _inverse(cumulative: np.ndarray, last: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Where a growing row of logarithms (T,) reaches ``share`` of its value at ``last``; both (B,), never after it."""
    return np.minimum(cumulative.searchsorted(cumulative[last] + share), last)


def _check(frames: int, steps: int) -> None:
    if frames < 1 or steps < 1:
        raise FoppError(f"expected at least 1 frame and 1 timestep, found {frames} and {steps}")
