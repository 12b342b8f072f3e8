"""A world model as a predictor: the engine's step over a dream's past, its pose and its memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from worldsim.checkpoint import LoadedModel
from worldsim.diffusion.schedules import next_frame
from worldsim.dream.context import DreamError, check_size
from worldsim.dream.env import Dream, Step
from worldsim.dream.kept_world import check_state
from worldsim.dream.packing import Kind, pack, unpack
from worldsim.dream.predictor import Context, Frames, Predictor, Row, Settings, Spec
from worldsim.engine.past import DreamPast, Kept
from worldsim.engine.pixel_recall import depths_of
from worldsim.engine.select import engine_for
from worldsim.engine.step import DreamState
from worldsim.models.geometry import wrap
from worldsim.session.snapshot import Snapshot, SnapshotError

__all__ = ["DreamEnv", "DreamError", "Step", "WorldPredictor"]


class WorldPredictor(Predictor[DreamState]):
    """An action-conditioned autoregressive video diffusion model with a memory.

    ``history`` is the short window as it is and older frames compressed to ``budget`` memory latents. The pose is the
    dream's own dead reckoning from where it began, unless the true ones are to be used.

    Args:
        loaded: the trained model.
        engine: what computes: a name of :data:`worldsim.engine.select.BACKENDS`, or ``auto``, the fastest of those
            that can.
        precision: what the fast engine multiplies in where it makes pictures, ``fp32``, ``bf16``, ``fp16`` or ``auto``.
        second: whether a second denoiser, where the checkpoint has one, ever takes over.
        handover_after: after how many frames without a true one among them; None is what the checkpoint says.
        size: side of the pictures that it takes and shows, the model's or, where it has a memory of pixels, a multiple
            of that: what is remembered is then as sharp as it was, what is drawn anew is enlarged.
        spacing: how the noise levels of a frame lie, one of ``worldsim.diffusion.schedules.SPACINGS``.

    Raises:
        DreamError, EngineError, DeviceError, ScheduleError: one of these that the model does not have.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        engine: str = "auto",
        precision: str = "fp32",
        second: bool = True,
        handover_after: int | None = None,
        size: int | None = None,
        spacing: str = "even",
    ) -> None:
        self.loaded, self.model = loaded, loaded.model
        config = self.model.config
        self.device = next(self.model.parameters()).device
        size = config.size if size is None else size
        check_size(size, config.size, config.pixels)
        if handover_after is not None and handover_after < 1:
            raise DreamError(f"alone_after: expected at least 1 frame, found {handover_after}")
        next_frame(spacing)  # refuses what does not exist
        self.spec = Spec(
            name="this dream",
            action_spec=loaded.action_spec,
            size=size,
            histories=tuple(config.memory.histories),
            window=self.model.window,
            budgets=tuple(config.memory.budgets),
            budget=16,
            steps=2,
            most_steps=64,
            poseless="" if config.posed else "this dream's world tells no pose",
        )
        self._engine_words, self._spacing = (engine, precision), spacing
        self.engine = engine_for(loaded, *self._engine_words)
        after = config.handover_after if handover_after is None else handover_after
        self._handover_after = after if config.free_running and second else None

    @torch.inference_mode()
    def begin(self, context: Context, settings: Settings, seed: int) -> DreamState:
        """A dream that has seen the newest frames of the context, as many as its memory reaches."""
        config = self.model.config.dream
        keep = max(self.spec.histories) + config.replayed
        start = max(0, len(context.frames) - keep)
        frames = context.frames[start:]
        actions = [self.model.normalise(torch.zeros(self.model.config.action_dim, device=self.device))]
        actions += [self._normalised(a) for a in context.actions[start:]]
        past = DreamPast(
            keep,
            config,
            latents=list(self.loaded.encode(frames)),
            actions=actions,
            handover_after=self._handover_after,
        )
        past.pictures, past.depths = list(frames), [None] * len(past)
        state = DreamState(past, settings.history, settings.budget, settings.denoising_steps, self._spacing)
        state.random = torch.Generator().manual_seed(seed)
        self.engine = engine_for(self.loaded, *self._engine_words)
        self._integrate_pose(past, 0, None if context.poses is None else context.poses[start:], settings)
        self.engine.encode_features(past)
        self.engine.replay(past)
        return state

    @torch.inference_mode()
    def step(
        self, rows: Sequence[Row[DreamState]], action: np.ndarray
    ) -> tuple[list[Frames], dict[str, float]]:
        """One frame for every row, in one pass."""
        poses = [None if row.pose is None else self._wrapped(row.pose) for row in rows]
        return self.engine.imagine([row.state for row in rows], self._normalised(action), poses)

    @torch.inference_mode()
    def correct(
        self, state: DreamState, frames: Frames, poses: np.ndarray | None, settings: Settings
    ) -> None:
        """Replace the newest frames; the pose is reckoned anew along them."""
        past = state.past
        n = min(len(frames), past.count)
        first = past.place(past.count - n)
        known = [i - past.count for i in past.indices[first:]]  # it may not have kept all of them
        frames, n = frames[known], len(known)
        poses = None if poses is None else poses[known]
        past.latents[-n:] = list(self.loaded.encode(frames))
        past.replace_pictures(frames)
        past.true_until = past.count
        self._integrate_pose(past, len(past) - n, poses, settings)
        if self.spec.poseless or settings.pose_from == "dream":
            if self.model.config.pixels:
                self.engine.refine_poses(past, len(past) - n, settings.history)
            else:
                self._relocalise(past, n, settings.history)
        if n > past.config.replayed:
            self.engine.encode_features(past)
        self.engine.replay(past)
        state.stale = True

    def about(self, state: DreamState, settings: Settings) -> dict[str, Any]:
        """Its pose (5,), float64, what was read, and what that took."""
        return {
            "pose": state.past.poses[-1].double().cpu().numpy(),
            "memory_frames": min(settings.history, len(state.past)),
            "memory_latents": 0 if state.memory is None else len(state.memory),
            "calls": state.calls,
            "novelty": state.novelty,
        }

    def turn(self, state: DreamState, settings: Settings) -> None:
        """The memory is compressed anew where its reach or its size changed."""
        state.stale |= (state.history, state.budget) != (settings.history, settings.budget)
        state.history, state.budget = settings.history, settings.budget
        state.steps = settings.denoising_steps

    def fits(self, state: DreamState, other: Predictor[Any], its: Any) -> bool:
        """Dreams of one engine that are as old as each other are rows of one batch."""
        return isinstance(other, WorldPredictor) and other.engine is self.engine and bool(state.fits(its))

    @torch.inference_mode()
    def prepare(self, state: DreamState) -> None:
        """Every eighth step has to compress the memory."""
        self.engine.prepare(state)

    def prefetch(self, frame: Frames) -> None:
        """Encode it meanwhile, in another thread."""
        self.loaded.ahead.prefetch(frame)

    @property
    def fingerprint(self) -> str:
        """Of the weights."""
        return self.loaded.fingerprint

    def save(self, state: DreamState) -> Snapshot:
        """The past with all that the engine keeps of it, its memory and its random numbers."""
        past, backend = state.past, self.engine.backend
        kept = Kept(past.kept.frames, backend.detach(past.kept.context))
        packed = pack(replace(state, past=replace(past, kept=kept)), self._kinds())
        return Snapshot({**packed.tree, "engine": type(backend).__name__}, packed.arrays)

    def load(self, snapshot: Snapshot, settings: Settings) -> DreamState:
        """The state again; a dream is kept by one engine and goes on by the same."""
        self.engine = engine_for(self.loaded, *self._engine_words)
        backend = self.engine.backend
        if (kept_by := snapshot.tree.get("engine")) != type(backend).__name__:
            raise SnapshotError(f"this state was kept by the engine {kept_by}, not {type(backend).__name__}")
        state = unpack(snapshot, self._kinds(), self.device)
        with torch.inference_mode():
            check_state(state, backend, self.spec.size, max(self.spec.histories))
        state.past.kept.context = backend.attach(state.past.kept.context)
        return cast(DreamState, state)

    def _kinds(self) -> dict[str, Kind]:
        ours: tuple[type, ...] = (DreamState, Kept, *self.engine.backend.keeps)
        past = Kind(DreamPast, {"config": self.model.config.dream})
        return {made.__name__: Kind(made) for made in ours} | {"DreamPast": past}

    def _normalised(self, action: np.ndarray) -> Tensor:
        return self.model.normalise(torch.as_tensor(action, device=self.device))

    def _wrapped(self, pose: np.ndarray) -> Tensor:
        row = torch.as_tensor(pose, device=self.device)
        return torch.cat([row[:3], wrap(row[3:4]), row[4:]])

    def _integrate_pose(
        self, past: DreamPast, first: int, true: np.ndarray | None, settings: Settings
    ) -> None:
        """Poses of the frames from ``first`` on: true ones where they are to be used, else dead reckoning."""
        odometry = self.model.odometry
        if true is not None and not self.spec.poseless and settings.pose_from == "true":
            past.poses[first:] = list(torch.as_tensor(np.asarray(true, np.float32), device=self.device))
            return
        if first == 0:
            pitch = odometry.pitch_of(odometry.look(past.latents[0][None])).clamp(-90, 90)
            past.poses, first = [torch.cat([torch.zeros(4, device=self.device), pitch])], 1
        del past.poses[first:]
        self.engine.integrate_pose(past)

    def _relocalise(self, past: DreamPast, n: int, history: int) -> None:
        """Take back what the newest ``n`` frames, true ones, have drifted, if memory knows the place they show."""
        pose = past.poses[-1]
        found = self.engine.relocalise(past, max(n, past.config.replayed), history)
        off = torch.cat([found[:3] - pose[:3], wrap(found[3:4] - pose[3:4]), found[4:] - pose[4:]])
        for i in range(n):  # it drifted little by little
            past.poses[len(past) - n + i] = past.poses[len(past) - n + i] + off * (i + 1) / n


class DreamEnv(Dream[DreamState]):
    """The dream of a world model, for who looks inside; the words after ``seed`` are :class:`WorldPredictor`'s."""

    predictor: WorldPredictor

    def __init__(
        self,
        loaded: LoadedModel,
        history: int | None = None,
        budget: int | None = None,
        denoising_steps: int | None = None,
        pose_from: str = "dream",
        seed: int = 0,
        **words: Any,
    ) -> None:
        super().__init__(
            WorldPredictor(loaded, **words),
            seed=seed,
            history=history,
            budget=budget,
            denoising_steps=denoising_steps,
            pose_from=pose_from,
        )
        self.loaded, self.model = loaded, loaded.model

    @property
    def past(self) -> DreamPast:
        """The frames it holds and all that is known of them.

        Raises:
            DreamError: no reset came before.
        """
        return self._row().state.past

    @property
    def latents(self) -> list[Tensor]:
        """Latents (C, h, w) of the frames it holds, the newest last."""
        return self.past.latents

    @property
    def poses(self) -> list[Tensor]:
        """Poses (5,) of the frames it holds, the newest last."""
        return self.past.poses

    @property
    def pictures(self) -> list[np.ndarray]:
        """The frames it holds, uint8 (H, W, 3), the newest last."""
        return self.past.pictures

    @property
    @torch.inference_mode()
    def depth_map(self) -> np.ndarray:
        """How far away what the newest frame shows is, float64 (h, w) in the world's units.

        Raises:
            DreamError: it has no memory of pixels, which alone measures that.
        """
        if not self.model.config.pixels:
            raise DreamError(
                "distances: this dream has no memory of pixels; train one with training.train_pixels"
            )
        logs = depths_of(self.past, [len(self.past) - 1], self.model.pixels.depth)[0]
        return (logs.double().exp() * self.model.scale).cpu().numpy()

    @property
    def n_generated(self) -> int:
        """How many of the newest frames are dreamt, with no true one among them."""
        return self.past.n_generated
