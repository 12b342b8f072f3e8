"""A dream as a gymnasium environment: true context in, then one imagined frame for every action."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from worldsim.actions import as_vector, space_from_spec
from worldsim.checkpoint import LoadedModel
from worldsim.diffusion.schedules import next_frame
from worldsim.dream.context import DreamError, check_context, check_size
from worldsim.engine.past import DreamPast
from worldsim.engine.pixel_recall import depths_of
from worldsim.engine.select import engine_for
from worldsim.engine.step import DreamState
from worldsim.models.geometry import wrap

__all__ = ["DreamEnv", "DreamError", "Step"]

Step = tuple[np.ndarray, float, bool, bool, dict[str, Any]]
"""What gymnasium's step gives."""


class DreamEnv(gymnasium.Env[np.ndarray, Any]):
    """An action-conditioned autoregressive video diffusion model, played like a world.

    ``history`` is how many past frames may reach the denoiser: the short window as they are, older ones compressed to
    ``budget`` memory latents. Both, ``denoising_steps`` and ``pose_from`` can be turned at any time. The smallest
    history is the short window alone: the forgetful twin. The pose is the dream's own dead reckoning from where it
    began, unless ``pose_from`` is ``true`` and the pose of each frame is given by :meth:`guide`. ``engine`` is what
    computes: ``fast``, ``plain`` or ``auto``, the fast one where it can (:mod:`worldsim.engine.select`). Where the
    checkpoint has a second denoiser, it takes over after ``alone_after`` frames without a true one among them (what the
    checkpoint says, unless told otherwise), or never where ``second`` is false.

    ``size`` is the side of the pictures that it takes and shows, the model's or, where it has a memory of pixels, a
    multiple of that: what is remembered is then as sharp as it was, what is drawn anew is enlarged. ``precision``: what
    the fast engine multiplies in where it makes pictures, ``fp32``, ``bf16`` or ``auto``.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(
        self,
        loaded: LoadedModel,
        history: int | None = None,
        budget: int = 16,
        denoising_steps: int = 2,
        pose_from: str = "dream",
        seed: int = 0,
        engine: str = "auto",
        second: bool = True,
        alone_after: int | None = None,
        size: int | None = None,
        precision: str = "fp32",
    ) -> None:
        self.loaded, self.model = loaded, loaded.model
        config = self.model.config
        self.device = next(self.model.parameters()).device
        self.window = self.model.window
        self.histories, self.budgets = tuple(config.memory.histories), tuple(config.memory.budgets)
        self.action_space = space_from_spec(loaded.action_spec)
        self.size = config.size if size is None else size
        check_size(self.size, config.size, config.pixels)
        self.observation_space = spaces.Box(0, 255, (self.size, self.size, 3), np.uint8)
        self.render_mode = "rgb_array"
        self._seed = seed
        self._engine_words = engine, precision
        self._engine = engine_for(loaded, *self._engine_words)
        if alone_after is not None and alone_after < 1:
            raise DreamError(f"alone_after: expected at least 1 frame, found {alone_after}")
        after = config.alone_after if alone_after is None else alone_after
        self._alone_after = after if config.alone and second else None
        self._mind = DreamState(DreamPast(max(self.histories) + config.dream.replayed, config.dream))
        self._guide: Tensor | None = None
        self._frame: np.ndarray | None = None
        self.history = max(self.histories) if history is None else history
        self.budget = budget
        self.denoising_steps = denoising_steps
        self._pose_from = "dream"
        self.pose_from = pose_from

    @property
    def history(self) -> int:
        """Past frames that may reach the denoiser."""
        return self._mind.history

    @history.setter
    def history(self, value: int) -> None:
        if not self.window <= value <= max(self.histories):
            raise DreamError(
                f"history: expected {self.window} to {max(self.histories)} frames, found {value}"
            )
        self._mind.history, self._mind.stale = value, True

    @property
    def budget(self) -> int:
        """Memory latents that the frames older than the short window are compressed to."""
        return self._mind.budget

    @budget.setter
    def budget(self, value: int) -> None:
        if not 1 <= value <= max(self.histories):
            raise DreamError(f"budget: expected 1 to {max(self.histories)} memory latents, found {value}")
        self._mind.budget, self._mind.stale = value, True

    @property
    def denoising_steps(self) -> int:
        """Network calls a frame takes."""
        return self._mind.steps

    @denoising_steps.setter
    def denoising_steps(self, value: int) -> None:
        if not 1 <= value <= 64:
            raise DreamError(f"denoising steps: expected 1 to 64, found {value}")
        self._mind.steps = value

    @property
    def spacing(self) -> str:
        """How the noise levels of a frame lie, one of ``worldsim.diffusion.schedules.SPACINGS``."""
        return self._mind.spacing

    @spacing.setter
    def spacing(self, value: str) -> None:
        next_frame(value)  # refuses what does not exist
        self._mind.spacing = value

    @property
    def pose_from(self) -> str:
        """``dream``: its own dead reckoning; ``true``: a labelled aid; ``none``: its world tells no pose."""
        return self._pose_from if self.model.config.posed else "none"

    @pose_from.setter
    def pose_from(self, value: str) -> None:
        if not self.model.config.posed and value == "true":
            raise DreamError("pose_from: this dream's world tells no pose; leave pose_from out")
        if value not in ("dream", "true") and value != self.pose_from:
            raise DreamError(f"pose_from: expected dream or true, found {value!r}")
        self._pose_from = value

    @property
    def latents(self) -> list[Tensor]:
        """Latents (C, h, w) of the frames it holds, the newest last."""
        return self._mind.past.latents

    @property
    def poses(self) -> list[Tensor]:
        """Poses (5,) of the frames it holds, the newest last."""
        return self._mind.past.poses

    @property
    def pictures(self) -> list[np.ndarray]:
        """The frames it holds, uint8 (H, W, 3), the newest last."""
        return self._mind.past.pictures

    @property
    @torch.inference_mode()
    def distances(self) -> np.ndarray:
        """How far away what the newest frame shows is, float64 (h, w) in the world's units.

        Raises:
            DreamError: it has no memory of pixels, which alone measures that.
        """
        if not self.model.config.pixels:
            raise DreamError(
                "distances: this dream has no memory of pixels; train one with training.train_pixels"
            )
        past = self._mind.past
        logs = depths_of(past, [len(past) - 1], self.model.pixels.distances)[0]
        return (logs.double().exp() * self.model.scale).cpu().numpy()

    @property
    def own(self) -> int:
        """How many of the newest frames are dreamt, with no true one among them."""
        return self._mind.past.own

    @torch.inference_mode()
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin from true context.

        Args:
            options: ``frames`` uint8 (n, H, W, 3), n >= 1; ``actions``, the n - 1 between them, raw or as vectors
                (n - 1, D); ``poses`` (n, 5), used only where ``pose_from`` is ``true``. Without any, a grey frame.

        Raises:
            DreamError: frames of another size, or a number of actions that does not fit.
        """
        super().reset(seed=seed)
        given = options or {}
        frames, actions = check_context(given, self.size)
        config = self.model.config.dream
        keep = max(self.histories) + config.replayed
        start = max(0, len(frames) - keep)
        led = [self.model.normalise(torch.zeros(self.model.config.action_dim, device=self.device))]
        led += [self._vector(a) for a in actions[start:]]
        past = DreamPast(
            keep,
            config,
            latents=list(self.loaded.encode(frames[start:])),
            actions=led,
            handover_after=self._alone_after,
        )
        past.pictures, past.distances = list(frames[start:]), [None] * len(past)
        self._mind.past, self._mind.stale, self._guide = past, True, None
        self._mind.random = torch.Generator().manual_seed(self._seed if seed is None else seed)
        self._engine = engine_for(self.loaded, *self._engine_words)
        poses = given.get("poses")
        self._reckon(0, None if poses is None else np.asarray(poses)[start:])
        self._engine.encode_features(past)
        self._engine.replay(past)
        self._frame = frames[-1]
        return frames[-1], self._info({})

    def step(self, action: Any) -> Step:
        """Imagine the frame that the action leads to: uint8 (H, W, 3).

        Raises:
            DreamError: no reset came before.
        """
        return self.together([self], action)[0]

    @staticmethod
    @torch.inference_mode()
    def together(dreams: Sequence[DreamEnv], action: Any) -> list[Step]:
        """Step several dreams with one action, those of one model in one pass; what :meth:`step` would give each.

        ``info["ms"]`` of a dream is its share of the pass: the time of each phase over the number of dreams.

        Raises:
            DreamError: no reset came before.
        """
        first = dreams[0]
        if not all(dream._mind.fits(first._mind) and dream._engine is first._engine for dream in dreams):
            return [dream.step(action) for dream in dreams]
        if not len(first._mind.past):
            raise DreamError(
                "a dream needs reset(options={'frames': ..., 'actions': ...}) before its first step"
            )
        led = first._vector(action)
        guides = [dream._guide if dream.pose_from == "true" else None for dream in dreams]
        frames, ms = first._engine.imagine([dream._mind for dream in dreams], led, guides)
        for dream, frame in zip(dreams, frames, strict=True):
            dream._guide, dream._frame = None, frame
        share = {phase: spent / len(dreams) for phase, spent in ms.items()}
        return [(frame, 0.0, False, False, d._info(share)) for d, frame in zip(dreams, frames, strict=True)]

    @torch.inference_mode()
    def correct(self, frames: np.ndarray, poses: np.ndarray | None = None) -> None:
        """Replace the newest len(frames) frames of the dream's past by true ones, (n, H, W, 3).

        The pose is reckoned anew along the true frames; true poses (n, 5) are used where ``pose_from`` is ``true``.

        Raises:
            DreamError: more frames than the dream has.
        """
        past = self._mind.past
        if len(frames) > past.count:
            raise DreamError(f"cannot replace {len(frames)} frames of a dream that has {past.count}")
        first = past.place(past.count - len(frames))
        known = [i - past.count for i in past.indices[first:]]  # it may not have kept all of them
        n, frames = len(known), frames[known]
        poses = None if poses is None else poses[known]
        if n == 0:
            return
        past.latents[-n:] = list(self.loaded.encode(frames))
        past.show(frames)
        past.true_until = past.count
        self._reckon(len(past) - n, poses)
        if self.pose_from == "dream":
            if self.model.config.pixels:
                self._engine.refine_poses(past, len(past) - n, self.history)
            else:
                self._relocalise(n)
        if n > past.config.replayed:
            self._engine.encode_features(past)
        self._engine.replay(past)
        self._mind.stale = True
        self._frame = frames[-1]

    @torch.inference_mode()
    def prepare(self) -> None:
        """Do now what the next step would begin with, whatever its action: every eighth has to compress the memory.

        For whoever has time between frames; the frames are the same.
        """
        if len(self._mind.past):
            self._engine.prepare(self._mind)

    def expect(self, frame: np.ndarray) -> None:
        """A true frame (H, W, 3) that a correction will bring: it is encoded meanwhile, in another thread."""
        self.loaded.ahead.prefetch(frame)

    def guide(self, pose: np.ndarray) -> None:
        """Give the true pose (5,) of the next frame; used where ``pose_from`` is ``true``."""
        row = torch.as_tensor(np.asarray(pose, np.float32), device=self.device)
        self._guide = torch.cat([row[:3], wrap(row[3:4]), row[4:]])

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """The newest frame."""
        return self._frame

    def _vector(self, action: Any) -> Tensor:
        flat = as_vector(self.action_space, action)
        return self.model.normalise(torch.as_tensor(flat, device=self.device))

    def _reckon(self, first: int, true: np.ndarray | None) -> None:
        """Poses of the frames from ``first`` on: true ones where they are to be used, else dead reckoning."""
        m, past = self.model, self._mind.past
        if true is not None and self.pose_from == "true":
            past.poses[first:] = list(torch.as_tensor(np.asarray(true, np.float32), device=self.device))
            return
        if first == 0:
            pitch = m.odometry.pitch_of(m.odometry.look(past.latents[0][None])).clamp(-90, 90)
            past.poses, first = [torch.cat([torch.zeros(4, device=self.device), pitch])], 1
        del past.poses[first:]
        self._engine.reckon(past)

    def _relocalise(self, n: int) -> None:
        """Take back what the newest ``n`` frames, true ones, have drifted, if memory knows the place they show."""
        past = self._mind.past
        pose = past.poses[-1]
        found = self._engine.relocalise(past, max(n, past.config.replayed), self.history)
        off = torch.cat([found[:3] - pose[:3], wrap(found[3:4] - pose[3:4]), found[4:] - pose[4:]])
        for i in range(n):  # it drifted little by little
            past.poses[len(past) - n + i] = past.poses[len(past) - n + i] + off * (i + 1) / n

    def _info(self, ms: dict[str, float]) -> dict[str, Any]:
        mind = self._mind
        return {
            "pose": mind.past.poses[-1].double().cpu().numpy(),
            "memory_frames": min(mind.history, len(mind.past)),
            "memory_latents": 0 if mind.memory is None else len(mind.memory),
            "ms": ms,
        }
