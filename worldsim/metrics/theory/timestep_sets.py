"""The paper's four timestep sets, and which of them degrades faster by the bound, without a rollout (section 6.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from worldsim.diffusion.schedules import spaced
from worldsim.metrics.theory.error_budget import LossCurve, TheoryError

MAXIMUM = 999.0  # the last of a thousand training timesteps: pure noise
NAMES = ("a,1", "a,2", "b,1", "b,2")
End = Literal["noisy", "clean"]


def timestep_set(name: str, count: int, maximum: float = MAXIMUM) -> NDArray[np.float64]:
    """One of the sets of section 6.2, rising, (count,), from 0 to ``maximum``.

    (a,1) is Unif([0, maximum^(1/2)], count)^2 and (b,1) the same with the third power: both dense near 0, the clean
    end. (a,2) and (b,2) are ``maximum`` less those: dense near noise. The points are evenly spaced where the paper
    draws them, so that a set is one set, and a set and its mirror have exactly the same step widths.

    Raises:
        TheoryError: an unknown name or fewer than 2 timesteps.
    """
    if name not in NAMES:
        raise TheoryError(f"expected a timestep set of {', '.join(NAMES)}, found {name!r}")
    if count < 2:
        raise TheoryError(f"expected at least 2 timesteps, found {count}")
    places = np.linspace(0, 1, count)
    return maximum * np.array([spaced(place, name.replace(",", "")) for place in places])


def score_estimation(
    timesteps: ArrayLike, losses: LossCurve, maximum: float = MAXIMUM, end: End = "noisy"
) -> float:
    """SEE of a set of timesteps: every interval's width times the loss at one of its ends (Assumption 3).

    Args:
        timesteps: (N,), rising.
        losses: by level, timestep / maximum.
        end: where in an interval the loss is read. ``noisy`` is the theorem and the sampler, which calls the
            network at t_n to come to t_{n-1}; ``clean`` is the other reading of figure 10 (see :func:`predict`).
    """
    t = np.asarray(timesteps, float)
    return float(np.diff(t) @ losses((t[1:] if end == "noisy" else t[:-1]) / maximum))


@dataclass(frozen=True)
class Prediction:
    """What the bound says of the four timestep sets.

    Attributes:
        see: score estimation error of every set, in units of the loss times timesteps.
        squares: sum of squared step widths, the factor of the discretisation error; equal within (a) and within (b).
        order: names from the least to the most SEE, that is from slowest to fastest temporal degradation.
    """

    see: dict[str, float]
    squares: dict[str, float]
    order: tuple[str, ...]


def predict(losses: LossCurve, count: int = 50, maximum: float = MAXIMUM, end: End = "noisy") -> Prediction:
    """SEE of the four sets, and their order, from a per-timestep loss curve and step widths alone (Figure 10).

    NIE and DE are the same for a set and its mirror (one horizon, the same widths), so by Eqn. 10 the one with less
    SEE degrades more slowly. What the bound says of them:

    * SEE is a Riemann sum of the loss curve, and all four sums near one integral as ``count`` grows. To first
      order they differ from it by half of sum(width^2 * slope): what counts is the slope of the curve where the steps
      are wide, not the height of the loss there (a high loss under narrow steps is met by more of them).
    * Read at the noisier end, as Assumption 3 does, a curve that falls from clean to noise and does so mostly near
      the clean end gives SEE(*,2) < SEE(*,1), more so for (b): wide steps near clean never call the network where it
      is worst. The bound then predicts slower degradation for (*,2), which is the paper's sentence. A straight
      curve tells a set and its mirror not at all, and one that changes mostly near noise turns the order round.
    * The paper's figure shows slower degradation for (*,1), and its argument (narrow steps near 0, so small weights
      for large losses) is what ``end="clean"`` computes: the order turns round, and the gap is wider for (b).
      The measured advantage of (*,1) needs no SEE: where the score changes faster near clean than near
      noise, one constant L hides a larger discretisation error of wide steps there
      (``worldsim.metrics.theory.gaussian`` shows it with an exact score).
    """
    sets = {name: timestep_set(name, count, maximum) for name in NAMES}
    see = {name: score_estimation(t, losses, maximum, end) for name, t in sets.items()}
    squares = {name: float((np.diff(t) ** 2).sum()) for name, t in sets.items()}
    return Prediction(see, squares, tuple(sorted(NAMES, key=lambda name: see[name])))
