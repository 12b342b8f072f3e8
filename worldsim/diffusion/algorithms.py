"""Algorithms 1 to 3 of Meta-ARVDM for any method: initialise, one autoregressive step, a whole rollout.

A method is data (:class:`worldsim.diffusion.methods.Method`); what denoises and how it uses its reference frames is the
caller's. A dream that plays one frame at a time needs :func:`autoregressive_step` alone: its context is true.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from worldsim.diffusion.methods import Method
from worldsim.diffusion.process import Process, corrupt
from worldsim.diffusion.requirements import ScheduleError, causality
from worldsim.diffusion.samplers import STRAIGHT, Sampler, sampler_from
from worldsim.diffusion.schedules import Schedule, path, rolling

WindowDenoise = Callable[[Tensor, Tensor], Tensor]
"""(z (B, w, C, h, w), noise_level (B, w)) -> predicted clean latents of the same shape."""
Denoise = Callable[[Tensor, Tensor, int, list[int]], Tensor]
"""(z (B, n, C, h, w), noise_level (B, n), index of the first of these frames, indices of the reference frames)
-> predicted clean latents (B, n, C, h, w)."""


def rollout(
    denoise: Denoise,
    method: Method,
    process: Process,
    frames: list[Tensor],
    count: int,
    random: torch.Generator | None = None,
    like: Tensor | None = None,
    known: Tensor | None = None,
) -> Tensor:
    """Algorithm 1: ``count`` frames after those given, which may be none.

    Args:
        frames: clean frames (B, C, h, w), the context first; grows by the new ones as they come, so that ``denoise``
            finds there the reference frames whose indices it is given.
        random: what noise is drawn from, on its own device.
        like: a latent (B, C, h, w) of the shape, type and device wanted; needed where there is no context.
        known: see :func:`initialise`.

    Returns:
        (B, count, C, h, w), the new frames; a last step that makes more than are wanted is cut.

    Raises:
        ValueError: neither context nor ``like``.
    """
    if like is None:
        if not frames:
            raise ValueError(
                "a rollout without context needs `like`, a latent (B, C, h, w) of the shape wanted"
            )
        like = frames[-1]
    begin, stop = len(frames), len(frames) + count
    carried = initialise(denoise, method, process, begin, like, random, known)
    while len(frames) < stop:
        clean, carried = advance(denoise, method, process, len(frames), carried, random)
        frames.extend(clean.unbind(1)[: stop - len(frames)])
    return torch.stack(frames[begin:], 1) if count else like[:, None][:, :0]


def initialise(
    denoise: Denoise,
    method: Method,
    process: Process,
    first: int,
    like: Tensor,
    random: torch.Generator | None = None,
    known: Tensor | None = None,
) -> Tensor:
    """Algorithm 2: the frames from ``first`` on at the input levels of the first autoregressive step.

    They come from i_0 frames denoised at one common level, or, where the caller has them, from clean ``known`` frames
    (B, >= w - stride, C, h, w). A method that carries nothing over (window = stride) starts from noise alone.

    Args:
        first: index of the first frame to come: frames before it may be referred to.
        like: a latent (B, C, h, w) of the shape, type and device wanted.

    Returns:
        (B, w - stride, C, h, w).

    Raises:
        ValueError: too few known frames.
    """
    schedule = method.schedule
    carry = schedule.window - schedule.stride
    if carry == 0:
        return like[:, None][:, :0]
    if known is None:
        block = rolling(method.initial_frames, method.initial_frames, spacing=schedule.spacing)
        known, _ = autoregressive_step(
            _bound(denoise, method, first, beginning=True),
            like[:, None][:, :0],
            _noise(like, method.initial_frames, random),
            block,
            method.initial_steps,
            sampler_from(method.sampler, process, method.eta),
            random,
        )
    elif known.shape[1] < carry:
        raise ValueError(f"expected at least {carry} known frames to begin from, found {known.shape[1]}")
    level = torch.tensor(schedule.levels_in[:carry]).to(like).expand(len(like), -1)  # (B, w - stride)
    return corrupt(process, known[:, :carry], _noise(like, carry, random), level)


def advance(
    denoise: Denoise,
    method: Method,
    process: Process,
    first: int,
    carried: Tensor,
    random: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """One autoregressive step of a method, with fresh noise and its reference frames, from frame ``first`` on.

    Returns:
        clean (B, stride, C, h, w) and the next ``carried`` (B, w - stride, C, h, w).

    Raises:
        ScheduleError: a reference frame does not lie before ``first``.
    """
    like = carried.new_empty(len(carried), *carried.shape[2:])
    return autoregressive_step(
        _bound(denoise, method, first),
        carried,
        _noise(like, method.schedule.stride, random),
        method.schedule,
        method.steps,
        sampler_from(method.sampler, process, method.eta),
        random,
    )


def autoregressive_step(
    denoise: WindowDenoise,
    carried: Tensor,
    noise: Tensor,
    schedule: Schedule,
    steps: int,
    sampler: Sampler = STRAIGHT,
    random: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Algorithm 3: denoise a window from L_in to L_out; ``stride`` clean frames out, the rest carried on.

    Args:
        carried: (B, w - stride, C, h, w), frames at the first input levels.
        noise: (B, stride, C, h, w), fresh Gaussian frames.
        sampler: a fresh one; the rectified flow's Euler step where none is given.
        random: what a stochastic sampler's noise is drawn from.

    Returns:
        clean (B, stride, C, h, w) and the next ``carried`` (B, w - stride, C, h, w).
    """
    z = torch.cat([carried, noise], 1)  # (B, w, C, h, w)
    if z.shape[1] != schedule.window:
        raise ValueError(f"expected {schedule.window} frames in the window, found {z.shape[1]}")
    levels = path(schedule, steps).to(z.device)
    for now, then in pairwise(levels):
        now, then = now.expand(len(z), -1), then.expand(len(z), -1)
        fresh = _noise(z[:, 0], z.shape[1], random) if sampler.stochastic else None
        z = sampler.step(z, denoise(z, now), now, then, fresh)
    return z[:, : schedule.stride], z[:, schedule.stride :]


def _bound(denoise: Denoise, method: Method, first: int, beginning: bool = False) -> WindowDenoise:
    """The denoiser of the window that begins at ``first``, a few frames at a time where the method says so.

    The block that a method begins from is one window of a plain video model, with references of its own.
    """
    references = (method.initial_references if beginning else method.references)(first)
    n = method.initial_frames if beginning else method.frames_per_call
    if not causality(first, references):
        raise ScheduleError(
            f"causality does not hold: the step from frame {first} on refers to frames {references}"
        )

    def window(z: Tensor, level: Tensor) -> Tensor:
        parts = range(0, z.shape[1], n)
        return torch.cat(
            [denoise(z[:, k : k + n], level[:, k : k + n], first + k, references) for k in parts], 1
        )

    return window


def _noise(like: Tensor, count: int, random: torch.Generator | None) -> Tensor:
    """(B, count, C, h, w) standard normal, of the type and device of a latent (B, C, h, w)."""
    device = None if random is None else random.device
    return torch.randn(len(like), count, *like.shape[1:], generator=random, device=device).to(like)
