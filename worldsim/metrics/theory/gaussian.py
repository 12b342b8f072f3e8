"""A world whose score is known: what Euler-Maruyama gets wrong on Gaussian frames, exactly and without sampling.

Data are Gaussian and the forward process has constant beta = 1, so every step of the sampler (Eqns. 4 and 6, with
the exact score: SEE = 0) is an affine map with Gaussian noise, and means and variances follow it in closed form.
All divergences are in nats. Two are told apart:

* the *path* error is KL between the laws of all levels visited. It is what Theorem 1 bounds: it equals the noise
  initialisation error plus one discretisation error a step, falls like exp(-T) and like 1/M, and adds up.
* the *sample* error is KL between the laws of the clean frames alone. It is never above the path error (data
  processing) and falls faster here, like exp(-2T) and 1/M^2, for it is quadratic in the errors of mean and variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from worldsim.metrics.theory.error_budget import TheoryError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SamplerError:
    """What a sampler with an exact score gets wrong, in nats.

    Attributes:
        start: KL(data at level T || unit Gaussian), the noise initialisation error.
        steps: one discretisation error for each step, from noise to clean: KL between the true reverse transition
            and the sampler's, on average over true frames.
        sample: KL(clean data || what the sampler makes).
    """

    start: float
    steps: tuple[float, ...]
    sample: float

    @property
    def discretisation(self) -> float:
        return float(sum(self.steps))

    @property
    def path(self) -> float:
        """KL between the laws of all levels visited; never below ``sample``."""
        return self.start + self.discretisation


def even_times(horizon: float, steps: int) -> Array:
    """The even partition of [0, T] into M steps: (M + 1,), rising."""
    return np.linspace(0, horizon, steps + 1)


def sampler_error(mean: ArrayLike, covariance: ArrayLike, times: ArrayLike) -> SamplerError:
    """Errors of Euler-Maruyama on Gaussian frames with their exact score.

    Args:
        mean, covariance: (n,) and (n, n), of all values of all frames that are denoised together.
        times: (M + 1,), rising from 0 to T.

    Raises:
        TheoryError: times do not rise from 0, or the covariance is not positive definite.
    """
    t = _checked(times)
    # noise is the same in every direction: along the eigenvectors each value is on its own
    variance, basis = np.linalg.eigh(np.asarray(covariance, float))
    if (variance <= 0).any():
        raise TheoryError(f"expected a positive definite covariance, found eigenvalue {variance.min():g}")
    centre = basis.T @ np.asarray(mean, float)
    start = _kl(*_at(centre, variance, t[-1]), np.zeros_like(centre), np.ones_like(variance))
    steps = [
        _step_error(centre, variance, noisy, clean) for noisy, clean in zip(t[:0:-1], t[-2::-1], strict=True)
    ]
    sample = _kl(centre, variance, *_sampled(centre, variance, t))
    return SamplerError(start, tuple(steps), sample)


def autoregressive_error(
    correlation: float, frames: int, times: ArrayLike, references: bool
) -> tuple[float, float]:
    """Errors of a rollout frame by frame (w = delta = 1) on a one-value world, X_k+1 = rho X_k + noise, unit variance.

    With references, a frame is denoised under the exact score given the last generated frame. Without, nothing
    reaches it, and each step forgets I(X_k+1; X_k) = -log(1 - rho^2) / 2 nats, which is the only past that matters.

    Returns:
        KL of the whole video (Eqn. 7) and KL of its last frame alone (Eqn. 10).
    """
    t = _checked(times)
    one, mean = np.ones(1), np.zeros(1)
    first = _sampled(mean, one, t)[1].item()
    rho = correlation if references else 0.0
    gain, spread = (x.item() for x in _sampled(one, one - rho**2, t))
    made = np.empty((frames, frames))
    variance = first
    for k in range(frames):  # Cov(Y_k, Y_j) = (gain rho)^(j - k) Var(Y_k)
        made[k, k:] = made[k:, k] = variance * (gain * rho) ** np.arange(frames - k)
        variance = (gain * rho) ** 2 * variance + (spread if references else first)
    distance = np.abs(np.subtract.outer(np.arange(frames), np.arange(frames)))
    true = correlation**distance
    _, grown = np.linalg.slogdet(made)
    _, given = np.linalg.slogdet(true)
    video = (np.trace(np.linalg.solve(made, true)) - frames + grown - given) / 2
    return float(video), _kl(mean, one, mean, made[-1:, -1])


def slope(x: ArrayLike, y: ArrayLike) -> float:
    """Slope of the least-squares line through the points (x, y)."""
    return float(np.polyfit(np.asarray(x, float), np.asarray(y, float), 1)[0])


def _at(mean: Array, variance: Array, time: float) -> tuple[Array, Array]:
    """Mean and variance of the data at a level: dX = -X / 2 dt + dB from time 0."""
    kept = np.exp(-time)
    return mean * np.sqrt(kept), variance * kept + 1 - kept


def _update(mean: Array, variance: Array, noisy: float, clean: float) -> tuple[Array, Array, float]:
    """The sampler's step as y -> a y + b + Gaussian noise of variance h: y + h (y / 2 + score), Eqn. 6."""
    h = noisy - clean
    m, v = _at(mean, variance, noisy)
    return 1 + h / 2 - h / v, h * m / v, h


def _step_error(mean: Array, variance: Array, noisy: float, clean: float) -> float:
    a, b, h = _update(mean, variance, noisy, clean)
    (m, v), (m_clean, v_clean) = _at(mean, variance, noisy), _at(mean, variance, clean)
    gain = v_clean * np.exp(-h / 2) / v  # the true transition is Gaussian too: E[X_clean | X_noisy] is linear
    rest = -v_clean * np.expm1(-h) / v
    off = (m_clean - a * m - b) ** 2 + (gain - a) ** 2 * v
    return float(((rest + off) / h - 1 - np.log(rest / h)).sum() / 2)


def _sampled(mean: Array, variance: Array, times: Array) -> tuple[Array, Array]:
    """Mean and variance of what the sampler makes of unit Gaussian noise."""
    m, v = np.zeros_like(mean), np.ones_like(variance)
    for noisy, clean in zip(times[:0:-1], times[-2::-1], strict=True):
        a, b, h = _update(mean, variance, noisy, clean)
        m, v = a * m + b, a * a * v + h
    return m, v


def _kl(m: Array, v: Array, to_m: Array, to_v: Array) -> float:
    return float(((v + (m - to_m) ** 2) / to_v - 1 - np.log(v / to_v)).sum() / 2)


def _checked(times: ArrayLike) -> Array:
    t = np.asarray(times, float)
    if t.ndim != 1 or len(t) < 2 or t[0] != 0 or (np.diff(t) <= 0).any():
        raise TheoryError("expected times that rise from 0 to T in at least one step")
    return t
