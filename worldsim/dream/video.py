"""A dream that plays by any method of Meta-ARVDM: a gymnasium environment over Algorithms 1 to 3.

The player presses one key at a time, but a method may make several frames in one step, or keep unfinished frames of the
future in its window. Their actions are not known yet: those that :meth:`MethodDream.plan` tells are used, beyond them
the present action counts as held. A block that was made shows its frames one by one and does not change any more.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim.checkpoint import Loaded
from worldsim.diffusion.algorithms import advance, initialise
from worldsim.diffusion.methods import Method
from worldsim.diffusion.process import corrupt
from worldsim.dream.context import DreamError
from worldsim.dream.poseless import PoselessDream
from worldsim.frames import to_uint8
from worldsim.models.memory.variants.protocol import References
from worldsim.models.video_model import VideoModel

LADDER = (1, 8, 16, 48, 112)
"""Histories to choose from, as far as the method itself reaches."""
BUDGETS = (8, 16, 32, 48)


class MethodDream(PoselessDream[VideoModel]):
    """A video model played by a method.

    ``history`` bounds how far back the method's reference frames may lie; ``budget`` is what they are compressed to, 0
    for a method that compresses nothing; ``denoising_steps`` is the method's M_ar. No pose is known or used.

    Raises:
        DreamError: the method wants another way of memory than the model was trained with.
    """

    def __init__(self, loaded: Loaded[VideoModel], method: Method, seed: int = 0) -> None:
        super().__init__(loaded, seed)
        self.method = method
        self._check_memory()
        reach = method.references.count * method.references.every
        self.histories = (*(h for h in LADDER if h < reach), reach)
        self.budgets = BUDGETS if method.budget else (0,)
        self._history, self._budget = reach, method.budget or 0
        self._frames: list[
            Tensor
        ] = []  # clean latents (1, C, h, w) from the first on, also those not shown yet
        self._led: list[Tensor] = []  # the normalised action (A,) that led to each
        self._shown = 0
        self._carried: Tensor | None = None
        self._future: list[Tensor] = []
        self._past: tuple[list[int], References] | None = None

    @property
    def called(self) -> str:
        return self.method.name

    @property
    def history(self) -> int:
        """How far back reference frames may lie."""
        return self._history

    @history.setter
    def history(self, value: int) -> None:
        if not 0 <= value <= max(self.histories):
            raise DreamError(
                f"history: expected 0 to {max(self.histories)} frames by {self.method.name}, found {value}"
            )
        self._history = value

    @property
    def budget(self) -> int:
        """Latents that the references are compressed to; 0: they are shown as they are."""
        return self._budget

    @budget.setter
    def budget(self, value: int) -> None:
        if bool(value) != bool(self.method.budget) or value < 0:
            wanted = "at least 1" if self.method.budget else "0, since it compresses nothing,"
            raise DreamError(
                f"budget: expected {wanted} by {self.method.name}, found {value}; choose the method that fits"
            )
        self._budget = value

    @property
    def denoising_steps(self) -> int:
        """M_ar: the parts that a frame's way through one autoregressive step is divided into."""
        return self.method.steps

    @denoising_steps.setter
    def denoising_steps(self, value: int) -> None:
        if not 1 <= value <= 1000:
            raise DreamError(f"denoising steps: expected 1 to 1000, found {value}")
        self.method = replace(self.method, steps=value)

    @torch.inference_mode()
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin from true context; ``options`` as in :meth:`worldsim.dream.world.DreamEnv.reset`.

        Raises:
            DreamError: frames of another size, or a number of actions that does not fit.
        """
        frames, self._led = self._begin(seed, options)
        self._frames = list(self.loaded.encode(frames).unsqueeze(1))
        self._shown, self._carried, self._future, self._past = len(frames), None, [], None
        return frames[-1], self._info({})

    def plan(self, actions: Sequence[Any]) -> None:
        """Tell the actions that will follow the next one, where they are known."""
        self._future = [self._vector(action) for action in actions]

    @torch.inference_mode()
    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Imagine the frame that the action leads to: uint8 (H, W, 3).

        Raises:
            DreamError: no reset came before.
        """
        if not self._frames:
            raise DreamError(
                "a dream needs reset(options={'frames': ..., 'actions': ...}) before its first step"
            )
        led, began, ms = self._vector(action), time.perf_counter(), dict[str, float]()
        if self._shown == len(self._frames):
            self._make(led)
        ms["denoise"] = (time.perf_counter() - began) * 1e3
        self._led[self._shown] = led  # what was really done, also where another action had been assumed
        self._future = self._future[1:]
        began = time.perf_counter()
        frame = to_uint8(self.model.autoencoder.decode(self._frames[self._shown]))[0]
        ms["decode"] = (time.perf_counter() - began) * 1e3
        self._shown += 1
        self._frame = frame
        return frame, 0.0, False, False, self._info(ms)

    @torch.inference_mode()
    def correct(self, frames: np.ndarray, poses: np.ndarray | None = None) -> None:
        """Replace the newest frames shown by true ones (n, H, W, 3); what was begun of the future is dropped.

        Raises:
            DreamError: more frames than the dream has.
        """
        n = len(frames)
        if n > self._shown:
            raise DreamError(f"cannot replace {n} frames of a dream that has {self._shown}")
        if n == 0:
            return
        del self._frames[self._shown :], self._led[self._shown :]
        self._frames[-n:] = list(self.loaded.encode(frames).unsqueeze(1))
        self._carried = self._past = None
        self._frame = frames[-1]

    def _make(self, led: Tensor) -> None:
        """One autoregressive step: ``stride`` more clean frames."""
        first, schedule = len(self._frames), self.method.schedule
        known = [led, *self._future]
        most = max(schedule.window, self.method.initial_frames)
        coming = [*known, *[known[-1]] * most][:most]

        def denoise(z: Tensor, level: Tensor, index: int, references: list[int]) -> Tensor:
            actions = torch.stack(coming[index - first : index - first + z.shape[1]])[None]
            return self.model.clean(z, level, actions, self._references(first, references))

        process, random = self.model.process, self._random
        if self._carried is None:
            like = self._frames[-1]
            self._carried = initialise(denoise, self.method, process, first, like, random)
        clean, self._carried = advance(denoise, self.method, process, first, self._carried, random)
        self._frames.extend(clean.unbind(1))
        self._led.extend(coming[: schedule.stride])
        self._past = None

    def _references(self, first: int, indices: list[int]) -> References:
        """The reference frames as the denoiser is shown them: prepared once for all calls of a step."""
        if self._past is None or self._past[0] != indices:
            near = indices
            if self._history < max(self.histories):  # the dial is turned down; anchors are old frames too
                near = [i for i in indices if i >= first - self._history]
            latents = (
                torch.stack([self._frames[i] for i in near], 1) if near else self._frames[0][:, None][:, :0]
            )
            led = torch.stack([self._led[i] for i in near]) if near else self._led[0][None][:0]
            level = torch.full(latents.shape[:2], self.method.context_level, device=self.device)
            noise = torch.randn(latents.shape, generator=self._random).to(self.device)
            shown = (
                corrupt(self.model.process, latents, noise, level) if self.method.context_level else latents
            )
            past = References(shown, led[None], level, torch.ones_like(level, dtype=torch.bool))
            self._past = indices, self.model.compress(past, self._budget)
        return self._past[1]

    def _check_memory(self) -> None:
        wanted, have = self.method.memory, self.model.config.memory
        fits = wanted.compressor in ("none", have.compressor)
        if self.method.references.most and (wanted.way != have.way or not fits):
            raise DreamError(
                f"the method {self.method.name} wants memory by {wanted.way} with {wanted.compressor} compression, the "
                f"checkpoint {self.loaded.path.name} was trained with {have.way} and {have.compressor}; choose another"
            )

    def _info(self, ms: dict[str, float]) -> dict[str, Any]:
        seen = min(self._history, self.method.references.most, self._shown)
        return {
            "memory_frames": seen,
            "memory_latents": min(self._budget, seen),
            "ms": ms,
        }
