"""The error budget of a method, from its schedule alone: Theorem 1 and Eqn. 10 of Meta-ARVDM as numbers.

Levels run from 0 (clean) to 1 (noise) and stand for the paper's times in [0, T]: a step between two levels is
``horizon`` times their difference wide. The paper analyses the forward process with constant beta = 1, where a
latent keeps exp(-t/2) of its signal. Its bounds hold up to an absolute constant, which is 1 here: compare budgets
with each other, do not read one as a divergence in nats. History forgetting is no matter of the schedule:
:mod:`worldsim.metrics.theory.information` measures it, and :meth:`ErrorBudget.video` takes it in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp

import numpy as np
from numpy.typing import ArrayLike, NDArray

from worldsim.diffusion.methods import Method
from worldsim.diffusion.schedules import path, rolling

TOLERANCE = 1e-6  # how far a level may lie outside of [0, 1]: tensors of levels are float32


class TheoryError(ValueError):
    """A budget was asked for from levels, losses or constants that it can not be computed from."""


@dataclass(frozen=True)
class Constants:
    """What Theorem 1 knows of the data, the network and the forward process.

    Attributes:
        dimension: d, values in one frame (of latents, where the diffusion runs on latents).
        horizon: T, the noise level of pure noise on the clock of constant beta = 1.
        bound: B of Assumption 1, the norm of max(stride, i_0) frames. None takes latents of unit variance, whose
            mean squared norm is the number of their values; Lemma 9 asks for no more than that second moment.
        lipschitz: L of Assumption 2, 1 for data of unit variance that is Gaussian.
        eps_est: the root of eps_est^2 of Assumption 3, which bounds the squared score error of the whole window.

    Raises:
        TheoryError: a constant is out of range.
    """

    dimension: int
    horizon: float = 10.0
    bound: float | None = None
    lipschitz: float = 1.0
    eps_est: float = 0.1

    def __post_init__(self) -> None:
        if self.dimension < 1 or not self.horizon > 0:
            raise TheoryError(
                f"expected a dimension of at least 1 and a horizon above 0, found {self.dimension} and {self.horizon}"
            )
        if self.lipschitz < 0 or self.eps_est < 0 or (self.bound is not None and self.bound < 0):
            raise TheoryError(
                "expected bound, lipschitz and eps_est of at least 0, "
                f"found {self.bound}, {self.lipschitz} and {self.eps_est}"
            )


@dataclass(frozen=True)
class LossCurve:
    """Squared score error of one frame, summed over its values, at noise levels; linear in between, flat outside.

    With a curve in hand the weighted sum of Assumption 3 is computed, in place of its bound eps_est^2.

    Attributes:
        levels: rising, in [0, 1].
        losses: one a level, at least 0.

    Raises:
        TheoryError: lengths differ, levels do not rise within [0, 1], or a loss is negative or not a number.
    """

    levels: tuple[float, ...]
    losses: tuple[float, ...]

    def __post_init__(self) -> None:
        levels, losses = np.asarray(self.levels, float), np.asarray(self.losses, float)
        if levels.ndim != 1 or levels.shape != losses.shape or not levels.size:
            raise TheoryError(
                f"expected one loss a level, found {levels.size} levels and {losses.size} losses"
            )
        if (np.diff(levels) <= 0).any() or levels[0] < 0 or levels[-1] > 1:
            raise TheoryError(f"expected levels that rise within [0, 1], found {self.levels}")
        if not (losses >= 0).all() or not np.isfinite(losses).all():
            raise TheoryError(f"expected finite losses of at least 0, found {self.losses}")

    def __call__(self, level: ArrayLike) -> NDArray[np.float64]:
        return np.asarray(np.interp(np.asarray(level, float), self.levels, self.losses))


def score_loss(x0_loss: ArrayLike, alpha: ArrayLike, sigma: ArrayLike) -> NDArray[np.float64]:
    """Squared score error that a squared error of the predicted clean latent means: (alpha / sigma^2)^2 times it.

    The score is -(z - alpha x0) / sigma^2, so the same error of x0 weighs the more the cleaner the frame is.

    Raises:
        TheoryError: a sigma is 0: a clean frame has no score.
    """
    noise = np.asarray(sigma, float)
    if (noise <= 0).any():
        raise TheoryError("expected every sigma above 0, found a clean level; leave level 0 out of the curve")
    return np.asarray(x0_loss, float) * (np.asarray(alpha, float) / noise**2) ** 2


@dataclass(frozen=True)
class ErrorTerms:
    """Noise initialisation, score estimation and discretisation error of one stage (Theorem 1)."""

    nie: float = 0.0
    see: float = 0.0
    de: float = 0.0

    @property
    def total(self) -> float:
        return self.nie + self.see + self.de

    def __add__(self, other: ErrorTerms) -> ErrorTerms:
        return ErrorTerms(self.nie + other.nie, self.see + other.see, self.de + other.de)

    def __mul__(self, times: float) -> ErrorTerms:
        return ErrorTerms(self.nie * times, self.see * times, self.de * times)


@dataclass(frozen=True)
class ErrorBudget:
    """Bounds of both stages: ``initial`` is IE of Eqn. 8 and ``step`` is ARE_k without its history forgetting."""

    initial: ErrorTerms
    step: ErrorTerms

    def clip(self, steps: int) -> ErrorTerms:
        """Temporal degradation: error of the short clip that follows ``steps`` autoregressive steps (Eqn. 10).

        Raises:
            TheoryError: fewer than 0 steps.
        """
        if steps < 0:
            raise TheoryError(f"expected at least 0 autoregressive steps, found {steps}")
        return self.initial + self.step * steps

    def video(self, forgetting: Sequence[float]) -> float:
        """Error of the whole video, given the history forgetting HF_k of each of its K steps in nats (Eqns. 7, 8)."""
        return self.clip(len(forgetting)).total + float(sum(forgetting))


def error_budget(
    window: int,
    stride: int,
    initial_frames: int,
    initial_levels: ArrayLike,
    step_levels: ArrayLike,
    constants: Constants,
    losses: LossCurve | None = None,
) -> ErrorBudget:
    """The error budget of a method (Theorem 1, Eqn. 8).

    The network looks at the noisier end of every interval, so a loss curve is read there (Assumption 3 weighs the
    error at t_n with t_n - t_{n-1}). Where the frames of a window keep paces of their own (the relaxed constant
    pace at the end of section 4), the sums run over every frame's own widths, its share of eps_est^2 being one in
    ``window``; with constant pace this is the theorem as it is printed.

    Args:
        window, stride: w and delta.
        initial_frames: i_0, frames made by the initialisation; 0 where a rollout starts from true frames, which
            costs nothing.
        initial_levels: (M_init + 1,) from 1 down to 0, the partition of the initialisation.
        step_levels: (M_ar + 1, w) from L_in down to L_out, the partition of one autoregressive step.
        constants: of data, network and forward process.
        losses: measured score error by level; None takes ``eps_est``.

    Raises:
        TheoryError: sizes that do not fit, or levels that rise or leave [0, 1].
    """
    initial, levels = np.asarray(initial_levels, float), np.asarray(step_levels, float)
    if not 1 <= stride <= window or initial_frames < 0:
        raise TheoryError(
            "expected 1 <= stride <= window and at least 0 initial frames, "
            f"found window {window}, stride {stride}, {initial_frames} initial frames"
        )
    _falling(levels, (2, window), "step_levels of (M + 1, window)")
    bound2 = (
        constants.dimension * max(stride, initial_frames) if constants.bound is None else constants.bound**2
    )
    step = _stage(stride, levels, bound2, constants, losses)
    if not initial_frames:
        return ErrorBudget(ErrorTerms(), step)
    _falling(initial[:, None], (2, 1), "initial_levels of (M + 1,)")
    if abs(initial[0] - 1) > TOLERANCE or abs(initial[-1]) > TOLERANCE:
        raise TheoryError(f"expected initial_levels from 1 to 0, found {initial[0]:g} to {initial[-1]:g}")
    common = np.repeat(initial[:, None], initial_frames, axis=1)  # (M + 1, i_0)
    first = _stage(initial_frames, common, bound2, constants, losses)
    # as printed: Theorem 1 counts w frames, not i_0, in the initialisation's DE
    return ErrorBudget(replace(first, de=first.de * window / initial_frames), step)


def method_budget(method: Method, constants: Constants, losses: LossCurve | None = None) -> ErrorBudget:
    """The error budget of a method as it runs: its schedule, its steps, its initialisation.

    A method that carries nothing over (window = stride) has no initialisation: its first block is its first
    autoregressive step.
    """
    schedule, first = method.schedule, method.initial_frames
    if schedule.window == schedule.stride:
        first = 0
    block = rolling(max(1, first), max(1, first), spacing=schedule.spacing)
    return error_budget(
        schedule.window,
        schedule.stride,
        first,
        path(block, method.initial_steps)[:, 0],
        path(schedule, method.steps),
        constants,
        losses,
    )


def _stage(
    fresh: int, levels: NDArray[np.float64], bound2: float, c: Constants, losses: LossCurve | None
) -> ErrorTerms:
    """The three terms of a stage that draws ``fresh`` frames of noise and walks ``levels`` (M + 1, frames) down."""
    widths = c.horizon * -np.diff(levels, axis=0)  # (M, frames), of every frame's own step
    see = widths.sum(0).mean() * c.eps_est**2 if losses is None else (widths * losses(levels[:-1])).sum()
    return ErrorTerms(
        nie=(fresh * c.dimension + bound2) * exp(-c.horizon),
        see=float(see),
        de=float(c.dimension * c.lipschitz**2 * (widths**2).sum()),
    )


def _falling(levels: NDArray[np.float64], least: tuple[int, int], what: str) -> None:
    if levels.ndim != 2 or levels.shape[0] < least[0] or levels.shape[1] != least[1]:
        raise TheoryError(f"expected {what} with at least one step, found shape {levels.shape}")
    inside = (levels >= -TOLERANCE).all() and (levels <= 1 + TOLERANCE).all()
    if not inside or (np.diff(levels, axis=0) > TOLERANCE).any():
        raise TheoryError(
            f"expected {what} that fall within [0, 1], found a level that rises or lies outside"
        )
