"""The AD scheduler: generate a video whose neighbouring frames are s timesteps apart (AR-Diffusion, 3.4, Eqn. 5).

Frame i, counted from 0, is at timestep min(max(T + i s - m, 0), T) before step m: s = 0 denoises all frames together,
s = T one after the other. Eqn. 5 says so step by step, once its ``t_i + 1`` is read as the timestep before that step.
The levels are those of :func:`worldsim.diffusion.schedules.asynchronous`; here they become a plan with given frames
before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from worldsim.diffusion import schedules
from worldsim.diffusion.samplers import Sampler

Predict = Callable[[Tensor, Tensor, slice], Tensor]
"""(z (B, F, ...), level (B, F), the frames wanted) -> predicted clean latents of those frames alone (B, n, ...).

Frames before those wanted are clean or given, frames behind them pure noise.
"""
Progress = Callable[[Iterable[slice]], Iterable[slice]]


class AdError(ValueError):
    """Numbers that make no plan, or latents that do not fit one."""


@dataclass(frozen=True)
class Plan:
    """How ``frames`` new frames are made behind ``given`` clean ones.

    Args:
        steps: T, how many denoising steps one frame takes: 50 of a process of 1000 timesteps in the paper (DDIM).
        difference: s, in these steps, 0 (synchronous) to ``steps`` (autoregressive). It need not be whole.

    Raises:
        AdError: no frame, no step, or a difference outside 0 ... ``steps``.
    """

    frames: int
    difference: float
    steps: int = 50
    given: int = 0

    def __post_init__(self) -> None:
        if self.frames < 1 or self.steps < 1 or self.given < 0:
            raise AdError(
                "expected at least 1 frame, 1 step and 0 given frames, "
                f"found {self.frames}, {self.steps} and {self.given}"
            )
        if not 0 <= self.difference <= self.steps:
            raise AdError(
                f"difference: expected 0 (all frames together) to {self.steps} (one after the other), "
                f"found {self.difference}"
            )

    @property
    def calls(self) -> int:
        """Network calls: steps + (frames - 1) difference, rounded up."""
        return schedules.calls(self._schedule, self.steps)

    def levels(self) -> Tensor:
        """Noise level of every frame before every call and after the last: (calls + 1, given + frames), 1 to 0."""
        new = schedules.path(self._schedule, self.steps)
        return torch.cat([new.new_zeros(len(new), self.given), new], 1)

    def timesteps(self, total: int) -> Tensor:
        """:meth:`levels` in the timesteps of a process that has ``total``: integers, (calls + 1, given + frames)."""
        return (self.levels() * total).round().long()

    def working(self) -> list[slice]:
        """The frames that each call works on, those whose level changes: always neighbours, at least one."""
        moving = self.levels().diff(dim=0) != 0  # (calls, given + frames)
        first = moving.int().argmax(1)
        last = moving.shape[1] - moving.int().flip(1).argmax(1)
        return [slice(a, b) for a, b in zip(first.tolist(), last.tolist(), strict=True)]

    @cached_property
    def _schedule(self) -> schedules.Schedule:
        return schedules.asynchronous(self.frames, self.difference / self.steps)


def generate(
    predict: Predict,
    plan: Plan,
    z: Tensor,
    sampler: Sampler,
    random: torch.Generator | None = None,
    progress: Progress = iter,
) -> Tensor:
    """Denoise a video by a plan; frames that a call does not move are not asked for.

    Args:
        z: (B, given + frames, ...): the given frames, clean, then standard normal noise.
        sampler: a fresh one.
        random: what a stochastic sampler's noise is drawn from, on its own device.
        progress: wraps the calls as they are made, for example ``tqdm``.

    Returns:
        clean latents of the shape of z; the given frames are as they were, bit for bit.

    Raises:
        AdError: another number of frames than the plan's.
    """
    if z.dim() < 2 or z.shape[1] != plan.given + plan.frames:
        raise AdError(
            f"expected latents (B, {plan.given + plan.frames}, ...), found {(*z.shape,)}; "
            "put noise for every new frame behind the given ones"
        )
    levels, working = plan.levels().to(z.device), plan.working()
    for frames, (now, then) in zip(progress(working), pairwise(levels), strict=True):
        now, then = now.expand(len(z), -1), then.expand(len(z), -1)
        clean = z.clone()  # samplers leave alone what does not move, so what stands there is never read
        clean[:, frames] = predict(z, now, frames).to(z.dtype)
        fresh = None
        if sampler.stochastic:
            device = None if random is None else random.device
            fresh = torch.randn(z.shape, generator=random, device=device).to(z)
        z = sampler.step(z, clean, now, then, fresh)
    return z
