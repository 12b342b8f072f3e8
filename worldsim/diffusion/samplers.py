"""How a predicted clean latent moves frames to lower noise levels: Euler-Maruyama, DDPM, DDIM, DPM-Solver++.

Every frame has its own level and its own target, (B, T) each. A frame whose level does not change is left untouched,
bit for bit. A sampler object lives for one autoregressive step: multistep ones remember what the network said before.
"""

from __future__ import annotations

import difflib
from typing import Any, Protocol

import torch
from torch import Tensor

from worldsim.diffusion.process import Process, per_frame, reverse

NAMES = ("euler_maruyama", "ddpm", "ddim", "dpm_solver_pp")
LEAST = 1e-8
"""Least coefficient that is divided by, in double precision."""


class SamplerError(ValueError):
    """A sampler that does not exist, does not suit the forward process, or lacks its library."""


class Sampler(Protocol):
    """One reverse update."""

    stochastic: bool
    """Whether :meth:`step` wants noise."""

    def step(self, z: Tensor, x0: Tensor, level: Tensor, target: Tensor, noise: Tensor | None) -> Tensor:
        """Frames at ``level`` moved to ``target``.

        Args:
            z, x0: (B, T, ...), the noisy latents and the predicted clean ones.
            level, target: (B, T), target <= level.
            noise: standard normal, of the shape of z; only where the sampler is stochastic.
        """


def sampler_from(name: str, process: Process, eta: float = 0.0) -> Sampler:
    """A fresh sampler by name (one of ``NAMES``). ``eta`` is DDIM's: 0 deterministic, 1 DDPM.

    Raises:
        SamplerError: no such sampler, one that the process does not allow, or a library that is not installed.
    """
    if name == "euler_maruyama":
        return EulerMaruyama(process)
    if name == "ddpm":
        return Ddpm(process)
    if name == "ddim":
        return Ddim(process, eta)
    if name == "dpm_solver_pp":
        return DpmSolverPlusPlus(process)
    near = difflib.get_close_matches(name, NAMES, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the samplers are {', '.join(NAMES)}"
    raise SamplerError(f"no sampler {name!r}; {hint}")


class StraightFlow:
    """The rectified flow's own Euler step: DDIM with eta 0 on the rectified flow, in its fewest operations."""

    stochastic = False

    def step(self, z: Tensor, x0: Tensor, level: Tensor, target: Tensor, noise: Tensor | None) -> Tensor:
        return _moved(z, reverse(z, x0, level, target), level, target)


class EulerMaruyama:
    """The reverse SDE with drift and score held over a step (Eqn. 6), each frame with its own step width."""

    stochastic = True

    def __init__(self, process: Process) -> None:
        f, _ = process.drift(torch.ones(1))
        if not f.isfinite().all():
            raise SamplerError(
                f"euler_maruyama needs a process whose drift is finite at pure noise (variance preserving with "
                f"linear or constant beta), found {process}; use ddpm or ddim"
            )
        self.process = process

    def step(self, z: Tensor, x0: Tensor, level: Tensor, target: Tensor, noise: Tensor | None) -> Tensor:
        t, s = level.double(), target.double()
        f, square = self.process.drift(t)
        alpha, variance = self.process.alpha(t), self.process.sigma(t).square().clamp_min(LEAST)
        width = t - s
        # score = (alpha x0 - z) / sigma^2; z - (f z - g^2 score) h + g sqrt(h) noise
        keep = 1 - (f + square / variance) * width
        pull = square * alpha / variance * width
        spread = (square * width).clamp_min(0).sqrt()
        return _moved(z, _mixed((keep, z), (pull, x0), (spread, _given(noise))), level, target)


class Ddpm:
    """Ancestral sampling (Ho et al. 2020): a draw from q(z_s | z_t, x0)."""

    stochastic = True

    def __init__(self, process: Process) -> None:
        self.process = process

    def step(self, z: Tensor, x0: Tensor, level: Tensor, target: Tensor, noise: Tensor | None) -> Tensor:
        alpha_s, sigma_s, ratio, fresh, total = _kernel(self.process, level, target)
        keep, pull = ratio * sigma_s.square() / total, alpha_s * fresh / total
        spread = (fresh / total).sqrt() * sigma_s
        return _moved(z, _mixed((keep, z), (pull, x0), (spread, _given(noise))), level, target)


class Ddim:
    """The clean latent and the noise that the prediction implies, mixed anew at the target (Song et al. 2021)."""

    def __init__(self, process: Process, eta: float = 0.0) -> None:
        if not 0 <= eta <= 1:
            raise SamplerError(f"eta: expected 0 (deterministic) to 1 (DDPM), found {eta}")
        self.process, self.eta = process, eta
        self.stochastic = eta > 0

    def step(self, z: Tensor, x0: Tensor, level: Tensor, target: Tensor, noise: Tensor | None) -> Tensor:
        alpha_s, sigma_s, _, fresh, total = _kernel(self.process, level, target)
        alpha_t = self.process.alpha(level.double())
        variance = self.eta**2 * fresh / total * sigma_s.square()
        # eps = (z - alpha_t x0) / sigma_t
        keep = (sigma_s.square() - variance).clamp_min(0).sqrt() / total.sqrt()
        terms = [(keep, z), (alpha_s - alpha_t * keep, x0)]
        if self.stochastic:
            terms.append((variance.sqrt(), _given(noise)))
        return _moved(z, _mixed(*terms), level, target)


class DpmSolverPlusPlus:
    """DPM-Solver++(2M) (Lu et al. 2022) through the diffusers library, first order where a frame has no past.

    The library's updates know the variance preserving frame alone, so z is scaled into it and back; they take tables
    of sigma / alpha, which here have one entry for each frame.
    """

    stochastic = False

    def __init__(self, process: Process) -> None:
        try:
            from diffusers import DPMSolverMultistepScheduler
        except ImportError:
            raise SamplerError(
                "the sampler dpm_solver_pp needs the library diffusers: pip install diffusers, or choose ddim"
            ) from None
        self.process = process
        scheduler: Any = DPMSolverMultistepScheduler
        self._solver = scheduler(algorithm_type="dpmsolver++", solver_order=2)
        self._solver._step_index = 1  # tables hold the level before, this one, the target
        self._before: tuple[Tensor, Tensor, Tensor] | None = None  # ratio, x0, whether the frame has a past

    def step(self, z: Tensor, x0: Tensor, level: Tensor, target: Tensor, noise: Tensor | None) -> Tensor:
        ratio, scale = self._scaled(level, z)
        ratio_s, scale_s = self._scaled(target, z)
        before, x0_before, known = self._before or (ratio, x0, torch.zeros_like(level, dtype=torch.bool))
        moves = level != target
        self._solver.sigmas = torch.stack([before, ratio, ratio_s])  # (3, B, T, 1, ...)
        y = z / scale
        first = self._solver.dpm_solver_first_order_update(x0, sample=y)
        second = self._solver.multistep_dpm_solver_second_order_update([x0_before, x0], sample=y)
        # The last step, to level 0, has no finite log SNR: first order is exact there.
        # A prediction made at this very level is no past.
        use = per_frame(known & (target > 0), z) & (before != ratio)
        out = torch.where(use, second, first) * scale_s
        shown = per_frame(moves, z)
        self._before = (
            torch.where(shown, ratio, before),
            torch.where(shown, x0, x0_before),
            known | moves,
        )
        return _moved(z, out.to(z.dtype), level, target)

    def _scaled(self, level: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """sigma / alpha and sqrt(alpha^2 + sigma^2), ready to meet z."""
        t = level.double()
        alpha, sigma = self.process.alpha(t).clamp_min(LEAST), self.process.sigma(t)
        return per_frame(sigma / alpha, z), per_frame((alpha.square() + sigma.square()).sqrt(), z).to(z.dtype)


STRAIGHT = StraightFlow()
"""What a step of the real-time path is made with."""


def _kernel(process: Process, level: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Of the forward step from target s to level t: alpha_s, sigma_s, alpha_t / alpha_s, its variance, sigma_t^2."""
    t, s = level.double(), target.double()
    alpha_s, sigma_s = process.alpha(s), process.sigma(s)
    ratio = process.alpha(t) / alpha_s.clamp_min(LEAST)
    total = process.sigma(t).square()
    fresh = (total - ratio.square() * sigma_s.square()).clamp_min(0)
    return alpha_s, sigma_s, ratio, fresh, total.clamp_min(LEAST**2)


def _mixed(*terms: tuple[Tensor, Tensor]) -> Tensor:
    """Sum of latents (B, T, ...) with one coefficient a frame (B, T)."""
    total: Tensor | None = None
    for weight, value in terms:
        part = per_frame(weight, value).to(value.dtype) * value
        total = part if total is None else total + part
    assert total is not None
    return total


def _moved(z: Tensor, out: Tensor, level: Tensor, target: Tensor) -> Tensor:
    return torch.where(per_frame(level != target, z), out, z)


def _given(noise: Tensor | None) -> Tensor:
    if noise is None:
        raise SamplerError("a stochastic sampler needs noise of the shape of the latents, found none")
    return noise
