"""The forward process between a clean latent and noise: corrupt, convert predictions, and the flow's reverse update.

z_t = alpha(t) z_0 + sigma(t) eps, with t the noise level of each frame in [0, 1]: 0 is clean, 1 is noise, and the unit
interval stands for the paper's [0, T] (section 3). A network may predict x0, eps or v; :func:`to_x0` and
:func:`from_x0` turn one into another.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import Any, Protocol, overload

import torch
from torch import Tensor

TINY = 1e-4
"""Least coefficient that is divided by. Both ways of a conversion share it, so they undo one another at both ends."""
KINDS = ("x0", "eps", "v")


class DiffusionError(ValueError):
    """A forward process or a kind of prediction that does not exist, or parameters that it cannot have."""


class Process(Protocol):
    """A Gaussian forward process. Levels may have any shape; every answer has the shape of the level."""

    def alpha(self, level: Tensor) -> Tensor:
        """Coefficient of the clean latent: 1 at level 0, falling."""

    def sigma(self, level: Tensor) -> Tensor:
        """Coefficient of the noise: 0 at level 0, rising."""

    def velocity(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """(a, b) of v = a eps - b x0, scaled so that a alpha + b sigma = 1."""

    def drift(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """(f, g^2) of dz = f z dt + g dB (Eqn. 1), t in levels; infinite where the process loses all signal."""

    def sigma_at(self, snr: Tensor) -> Tensor:
        """Coefficient of the noise at the level with this signal-to-noise ratio alpha^2 / sigma^2."""


@dataclass(frozen=True)
class RectifiedFlow:
    """Straight lines between data and noise: alpha = 1 - t, sigma = t, v = eps - x0."""

    def alpha(self, level: Tensor) -> Tensor:
        return 1 - level

    def sigma(self, level: Tensor) -> Tensor:
        return level

    def velocity(self, level: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(level), torch.ones_like(level)

    def drift(self, level: Tensor) -> tuple[Tensor, Tensor]:
        return -1 / (1 - level), 2 * level / (1 - level)

    def sigma_at(self, snr: Tensor) -> Tensor:
        return 1 / (1 + snr.sqrt())


@dataclass(frozen=True)
class VariancePreserving:
    """dz = -beta/2 z dt + sqrt(beta) dB (DDPM, section 3): alpha^2 + sigma^2 = 1, v = alpha eps - sigma x0.

    Args:
        beta: ``linear`` from ``beta_min`` to ``beta_max`` over the unit interval (a chain of 1000 steps from 1e-4 to
            0.02 is 0.1 to 20); ``cosine`` (Nichol and Dhariwal 2021), whose signal ends at exactly 0; ``constant``,
            beta = 1 over the paper's [0, T] (section 5) with T = ``horizon``.

    Raises:
        DiffusionError: another ``beta``, or rates that are not positive.
    """

    beta: str = "linear"
    beta_min: float = 0.1
    beta_max: float = 20.0
    horizon: float = 10.0
    offset: float = 0.008  # of the cosine: keeps beta from vanishing at level 0

    def __post_init__(self) -> None:
        if self.beta not in ("linear", "cosine", "constant"):
            raise DiffusionError(f"beta: expected linear, cosine or constant, found {self.beta!r}")
        if not (0 < self.beta_min <= self.beta_max and self.horizon > 0 and self.offset > 0):
            raise DiffusionError(
                f"expected 0 < beta_min <= beta_max, horizon > 0 and offset > 0, found beta_min {self.beta_min}, "
                f"beta_max {self.beta_max}, horizon {self.horizon}, offset {self.offset}"
            )

    def alpha(self, level: Tensor) -> Tensor:
        if self.beta == "cosine":
            return (self._angle(level).cos() / math.cos(self._start)).clamp(0, 1)
        return (-self._integral(level) / 2).exp()

    def sigma(self, level: Tensor) -> Tensor:
        if self.beta == "cosine":
            a = self._angle(level)  # 1 - alpha^2 without cancellation near level 0
            square = (a - self._start).sin() * (a + self._start).sin() / math.cos(self._start) ** 2
            return square.clamp(0, 1).sqrt()
        return (-torch.expm1(-self._integral(level))).sqrt()

    def velocity(self, level: Tensor) -> tuple[Tensor, Tensor]:
        return self.alpha(level), self.sigma(level)

    def drift(self, level: Tensor) -> tuple[Tensor, Tensor]:
        if self.beta == "cosine":
            tangent = torch.where(level < 1, self._angle(level).tan(), math.inf)
            rate = math.pi / (1 + self.offset) * tangent
        elif self.beta == "linear":
            rate = self.beta_min + (self.beta_max - self.beta_min) * level
        else:
            rate = torch.full_like(level, self.horizon)
        return -rate / 2, rate

    def sigma_at(self, snr: Tensor) -> Tensor:
        return (1 + snr).rsqrt()

    @property
    def _start(self) -> float:
        return self.offset / (1 + self.offset) * math.pi / 2

    def _angle(self, level: Tensor) -> Tensor:
        return self._start + level * (math.pi / 2 - self._start)

    def _integral(self, level: Tensor) -> Tensor:
        """Integral of beta from 0 to the level."""
        if self.beta == "constant":
            return self.horizon * level
        return self.beta_min * level + (self.beta_max - self.beta_min) / 2 * level.square()


PROCESSES = ("rectified_flow", "vp_linear", "vp_cosine", "vp_constant")


def process_from(name: str, **parameters: Any) -> Process:
    """A forward process by name (one of ``PROCESSES``); parameters go to :class:`VariancePreserving`.

    Raises:
        DiffusionError: no such process, or parameters that it does not have.
    """
    if name not in PROCESSES:
        near = difflib.get_close_matches(name, PROCESSES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the processes are {', '.join(PROCESSES)}"
        raise DiffusionError(f"no forward process {name!r}; {hint}")
    try:
        if name == "rectified_flow":
            return RectifiedFlow(**parameters)
        return VariancePreserving(name.removeprefix("vp_"), **parameters)
    except TypeError:
        raise DiffusionError(f"{name} does not take the parameters {', '.join(parameters)}") from None


def per_frame(level: Tensor, like: Tensor) -> Tensor:
    """(B, T) or any leading shape to a shape that broadcasts over the rest of ``like``."""
    return level.reshape(*level.shape, *(1,) * (like.dim() - level.dim()))


@overload
def corrupt(z0: Tensor, noise: Tensor, level: Tensor, /) -> Tensor: ...
@overload
def corrupt(process: Process, z0: Tensor, noise: Tensor, level: Tensor, /) -> Tensor: ...
def corrupt(*given: Any) -> Tensor:
    """Latents (B, T, ...) at noise levels (B, T); of the rectified flow, where no process is named first."""
    process, z0, noise, level = given if len(given) == 4 else (RectifiedFlow(), *given)
    t = per_frame(level, z0)
    noisy: Tensor = process.alpha(t) * z0 + process.sigma(t) * noise
    return noisy


def snr(process: Process, level: Tensor) -> Tensor:
    """Signal-to-noise ratio alpha^2 / sigma^2: infinite at level 0."""
    return (process.alpha(level) / process.sigma(level)).square()


def to_x0(process: Process, prediction: Tensor, z: Tensor, level: Tensor, kind: str) -> Tensor:
    """The clean latent that a prediction of ``kind`` (``x0``, ``eps`` or ``v``) implies.

    Exact from v at every level. A noise prediction says nothing about x0 where there is no signal (level 1 of the
    rectified flow and of the cosine): the answer is finite there, but only as good as its last digits.

    Args:
        prediction, z: (B, T, ...); level: (B, T).

    Raises:
        DiffusionError: another kind.
    """
    t = per_frame(level, z)
    alpha, sigma = process.alpha(t), process.sigma(t)
    if kind == "x0":
        return prediction
    if kind == "eps":
        return (z - sigma.clamp_min(TINY) * prediction) / alpha.clamp_min(TINY)
    if kind == "v":
        a, _ = process.velocity(t)
        return a * z - sigma * prediction
    raise DiffusionError(f"kind of prediction: expected x0, eps or v, found {kind!r}")


def from_x0(process: Process, x0: Tensor, z: Tensor, level: Tensor, kind: str) -> Tensor:
    """The prediction of ``kind`` that a clean latent implies; :func:`to_x0` undoes it.

    At level 0 z says nothing about the noise: the answer is finite, not the noise that was drawn.

    Raises:
        DiffusionError: another kind.
    """
    t = per_frame(level, z)
    alpha, sigma = process.alpha(t), process.sigma(t)
    if kind == "x0":
        return x0
    if kind == "eps":
        return (z - alpha.clamp_min(TINY) * x0) / sigma.clamp_min(TINY)
    if kind == "v":  # a z - sigma v = x0
        a, _ = process.velocity(t)
        return (a * z - x0) / sigma.clamp_min(TINY)
    raise DiffusionError(f"kind of prediction: expected x0, eps or v, found {kind!r}")


def reverse(z: Tensor, x0: Tensor, level: Tensor, target: Tensor) -> Tensor:
    """One Euler step of the rectified flow from ``level`` to the lower level ``target`` (both (B, T))."""
    s, t = per_frame(target, z), per_frame(level, z).clamp_min(TINY)
    return z * (s / t) + x0 * (1 - s / t)


def loss_weight(level: Tensor, floor: float = 0.4) -> Tensor:
    """Weight of a squared x0 error: the velocity loss 1/t^2, held constant below ``floor``; 0.4 at pure noise.

    The factor makes the mean weight about 1 under :func:`sample_levels`.
    """
    return 0.4 * level.clamp_min(floor).pow(-2)


def sample_levels(normal: Tensor, uniform: Tensor, mean: float = 0.8, std: float = 1.2) -> Tensor:
    """Logit-normal noise levels that lean to noise, one in eight exactly at pure noise, as few-step sampling meets it.

    Args:
        normal, uniform: standard normal and uniform numbers, of the shape of the levels.
    """
    t = torch.sigmoid(normal * std + mean).clamp(0.02, 1.0)
    return torch.where(uniform < 0.125, torch.ones_like(t), t)
