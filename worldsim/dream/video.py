"""A video model played by any method of Meta-ARVDM: a predictor over Algorithms 1 to 3.

The player presses one key at a time, but a method may make several frames in one step, or keep unfinished frames of the
future in its window. Their actions are not known yet: those that a dream was told by ``plan`` are used, beyond them
the present action counts as held. A block that was made shows its frames one by one and does not change any more.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim import runtime
from worldsim.checkpoint import Loaded
from worldsim.diffusion.algorithms import advance, initialise
from worldsim.diffusion.methods import Method
from worldsim.diffusion.process import corrupt
from worldsim.dream.context import DreamError
from worldsim.dream.env import Dream
from worldsim.dream.packing import Kind, pack, unpack
from worldsim.dream.predictor import Context, Frames, Predictor, Row, Settings, Spec
from worldsim.frames import to_uint8
from worldsim.models.memory.variants.protocol import References
from worldsim.models.video_model import VideoModel
from worldsim.session.snapshot import Snapshot, SnapshotError

LADDER = (1, 8, 16, 48, 112)
"""Histories to choose from, as far as the method itself reaches."""
BUDGETS = (8, 16, 32, 48)


@dataclass
class MethodState:
    """A dream by a method.

    ``frames`` are clean latents (1, C, h, w) from the first on, also those not ``shown`` yet, and ``actions`` the
    normalised action (A,) that led to each; ``carried`` are unfinished ones; ``past`` the present step's references.
    """

    frames: list[Tensor]
    actions: list[Tensor]
    shown: int
    random: torch.Generator
    carried: Tensor | None = None
    past: tuple[list[int], References] | None = field(default=None, repr=False)


KINDS = {"MethodState": Kind(MethodState), "References": Kind(References)}
"""What a state is made of."""


class MethodPredictor(Predictor[MethodState]):
    """A video model played by a method.

    ``history`` bounds how far back the method's reference frames may lie; ``budget`` is what they are compressed to, 0
    for a method that compresses nothing; ``denoising_steps`` is the method's M_ar. No pose is known or used.

    ``precision`` of matrix products while it denoises: fp32, bf16, or auto, bf16 where the hardware is faster at it.

    Raises:
        DreamError: the method wants another way of memory than the model was trained with.
        DeviceError: a precision that does not exist.
    """

    def __init__(self, loaded: Loaded[VideoModel], method: Method, precision: str = "fp32") -> None:
        self.loaded, self.model, self.method = loaded, loaded.model, method
        self.device = next(self.model.parameters()).device
        self.bf16 = runtime.precision(precision, self.device) == "bf16"
        self._check_memory()
        reach = method.references.count * method.references.every
        histories = (*(h for h in LADDER if h < reach), reach)
        self.spec = Spec(
            name=method.name,
            action_spec=loaded.action_spec,
            size=self.model.config.size,
            histories=histories,
            window=min(histories),
            budgets=BUDGETS if method.budget else (0,),
            budget=method.budget or 0,
            steps=method.steps,
            most_steps=1000,
            shortest=0,
            poseless=f"{method.name} uses no pose",
        )

    @torch.inference_mode()
    def begin(self, context: Context, settings: Settings, seed: int) -> MethodState:
        """A dream that has seen the context."""
        none = torch.zeros(self.model.config.action_dim, device=self.device)
        actions = [self.model.normalise(none), *(self._normalised(a) for a in context.actions)]
        frames = list(self.loaded.encode(context.frames).unsqueeze(1))
        return MethodState(frames, actions, len(frames), torch.Generator().manual_seed(seed))

    @torch.inference_mode()
    def step(
        self, rows: Sequence[Row[MethodState]], action: np.ndarray
    ) -> tuple[list[Frames], dict[str, float]]:
        """The next frame that was made, or the first of those that are made now."""
        (row,) = rows
        state, normalised, began, ms = (
            row.state,
            self._normalised(action),
            time.perf_counter(),
            dict[str, float](),
        )
        if state.shown == len(state.frames):
            self._make(state, row.settings, [normalised, *(self._normalised(a) for a in row.future)])
        ms["denoise"] = (time.perf_counter() - began) * 1e3
        state.actions[state.shown] = (
            normalised  # what was really done, also where another action had been assumed
        )
        began = time.perf_counter()
        frame = to_uint8(self.model.autoencoder.decode(state.frames[state.shown]))[0]
        ms["decode"] = (time.perf_counter() - began) * 1e3
        state.shown += 1
        return [frame], ms

    @torch.inference_mode()
    def correct(
        self, state: MethodState, frames: Frames, poses: np.ndarray | None, settings: Settings
    ) -> None:
        """Replace the newest frames shown; what was begun of the future is dropped."""
        del state.frames[state.shown :], state.actions[state.shown :]
        state.frames[-len(frames) :] = list(self.loaded.encode(frames).unsqueeze(1))
        state.carried = state.past = None

    def about(self, state: MethodState, settings: Settings) -> dict[str, Any]:
        """References within reach, and the latents that they are compressed to."""
        n_context = min(settings.history, self.method.references.most, state.shown)
        return {"memory_frames": n_context, "memory_latents": min(settings.budget, n_context)}

    @property
    def fingerprint(self) -> str:
        """Of the weights and the method."""
        return f"{self.loaded.fingerprint} {self.method.name}"

    def save(self, state: MethodState) -> Snapshot:
        """All of it."""
        return pack(state, KINDS)

    def load(self, snapshot: Snapshot, settings: Settings) -> MethodState:
        """The state again."""
        state = unpack(snapshot, KINDS, self.device)
        if not isinstance(state, MethodState):
            raise SnapshotError("this state is not one of a method")
        return state

    def _normalised(self, action: np.ndarray) -> Tensor:
        return self.model.normalise(torch.as_tensor(action, device=self.device))

    def _make(self, state: MethodState, settings: Settings, known: list[Tensor]) -> None:
        """One autoregressive step: ``stride`` more clean frames, by the actions known."""
        method = replace(self.method, steps=settings.denoising_steps)
        first, schedule = len(state.frames), method.schedule
        most = max(schedule.window, method.initial_frames)
        coming = [*known, *[known[-1]] * most][:most]

        def denoise(z: Tensor, level: Tensor, index: int, references: list[int]) -> Tensor:
            actions = torch.stack(coming[index - first : index - first + z.shape[1]])[None]
            past, way = self._references(state, settings, first, references), self.method.memory.way
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                return self.model.clean(z, level, actions, past, way if len(past) else "").to(z.dtype)

        process, random = self.model.process, state.random
        if state.carried is None:
            state.carried = initialise(denoise, method, process, first, state.frames[-1], random)
        clean, state.carried = advance(denoise, method, process, first, state.carried, random)
        state.frames.extend(clean.unbind(1))
        state.actions.extend(coming[: schedule.stride])
        state.past = None

    def _references(
        self, state: MethodState, settings: Settings, first: int, indices: list[int]
    ) -> References:
        """The reference frames as the denoiser is shown them: prepared once for all calls of a step."""
        if state.past is None or state.past[0] != indices:
            near, context_level = indices, self.method.context_level
            if settings.history < max(self.spec.histories):  # turned down; anchors are old frames too
                near = [i for i in indices if i >= first - settings.history]
            latents = (
                torch.stack([state.frames[i] for i in near], 1) if near else state.frames[0][:, None][:, :0]
            )
            actions = torch.stack([state.actions[i] for i in near]) if near else state.actions[0][None][:0]
            level = torch.full(latents.shape[:2], context_level, device=self.device)
            noise = torch.randn(latents.shape, generator=state.random).to(self.device)
            shown = corrupt(self.model.process, latents, noise, level) if context_level else latents
            past = References(shown, actions[None], level, torch.ones_like(level, dtype=torch.bool))
            if self.model.travels and near:
                past.travel = self.model.past_travel(torch.stack(state.actions[:first])[None])[:, near]
            way = self.method.memory.way if near else ""
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                state.past = indices, self.model.compress(past, settings.budget, way)
        return state.past[1]

    def _check_memory(self) -> None:
        wanted, memories = self.method.memory, self.model.config.memories
        fits = any(m.way == wanted.way and wanted.compressor in ("none", m.compressor) for m in memories)
        if max(self.method.references.most, self.method.initial_references.most) and not fits:
            have = ", ".join(f"{m.way} and {m.compressor}" for m in memories)
            raise DreamError(
                f"the method {self.method.name} wants memory by {wanted.way} with {wanted.compressor} compression, the "
                f"checkpoint {self.loaded.path.name} was trained with {have}; choose another"
            )


class MethodDream(Dream[MethodState]):
    """The dream of a video model by a method."""

    def __init__(self, loaded: Loaded[VideoModel], method: Method, seed: int = 0) -> None:
        super().__init__(MethodPredictor(loaded, method), seed=seed)
