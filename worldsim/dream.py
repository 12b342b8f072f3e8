"""A dream as a gymnasium environment: true context in, then one imagined frame for every action."""

from __future__ import annotations

import time
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from worldsim.actions import space_from_spec, vector
from worldsim.ar_step import autoregressive_step
from worldsim.checkpoint import LoadedModel
from worldsim.denoisers.layers import Cache
from worldsim.frames import to_tensor, to_uint8
from worldsim.memory.geometry import POSE, wrap
from worldsim.schedules import next_frame
from worldsim.world_model import Past, Views

REFRESH = 8
"""Frames between two compressions of the memory."""
CONTEXT_LEVEL = 0.05
"""Noise level at which past frames are shown to the denoiser, which bears the errors of its own frames better so."""
REPLAYED = 16
"""Frames whose keys and values are computed again when the past is replaced."""


class DreamError(ValueError):
    """A dial of a dream was turned to something its model was not trained for."""


class DreamEnv(gymnasium.Env[np.ndarray, Any]):
    """An action-conditioned autoregressive video diffusion model, played like a world.

    ``history`` is how many past frames may reach the denoiser: the short window as they are, older ones compressed to
    ``budget`` memory latents. Both, ``denoising_steps`` and ``pose_from`` can be turned at any time. The smallest
    history is the short window alone: the forgetful twin. The pose is the dream's own dead reckoning from where it
    began, unless ``pose_from`` is ``true`` and the pose of each frame is given by :meth:`guide`.
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
    ) -> None:
        self.loaded, self.model = loaded, loaded.model
        config = self.model.config
        self.device = next(self.model.parameters()).device
        self.window = config.denoiser.window
        self.histories, self.budgets = tuple(config.memory.histories), tuple(config.memory.budgets)
        self.action_space = space_from_spec(loaded.action_spec)
        self.observation_space = spaces.Box(0, 255, (config.size, config.size, 3), np.uint8)
        self.render_mode = "rgb_array"
        self._schedule = next_frame()
        self._seed = seed
        self._clear()
        self.history = max(self.histories) if history is None else history
        self.budget = budget
        self.denoising_steps = denoising_steps
        self.pose_from = pose_from

    @property
    def history(self) -> int:
        """Past frames that may reach the denoiser."""
        return self._history

    @history.setter
    def history(self, value: int) -> None:
        if not self.window <= value <= max(self.histories):
            raise DreamError(
                f"history: expected {self.window} to {max(self.histories)} frames, found {value}"
            )
        self._history, self._stale = value, True

    @property
    def budget(self) -> int:
        """Memory latents that the frames older than the short window are compressed to."""
        return self._budget

    @budget.setter
    def budget(self, value: int) -> None:
        if not 1 <= value <= max(self.histories):
            raise DreamError(f"budget: expected 1 to {max(self.histories)} memory latents, found {value}")
        self._budget, self._stale = value, True

    @property
    def denoising_steps(self) -> int:
        """Network calls a frame takes."""
        return self._steps

    @denoising_steps.setter
    def denoising_steps(self, value: int) -> None:
        if not 1 <= value <= 64:
            raise DreamError(f"denoising steps: expected 1 to 64, found {value}")
        self._steps = value

    @property
    def pose_from(self) -> str:
        """``dream``: its own dead reckoning; ``true``: a labelled aid."""
        return self._pose_from

    @pose_from.setter
    def pose_from(self, value: str) -> None:
        if value not in ("dream", "true"):
            raise DreamError(f"pose_from: expected dream or true, found {value!r}")
        self._pose_from = value

    def _clear(self) -> None:
        self._latents: list[Tensor] = []  # each (C, h, w); the newest is last
        self._actions: list[Tensor] = []  # the action that led to each, normalised (A,)
        self._poses: list[Tensor] = []  # each (5,)
        self._motion = torch.zeros(1, POSE, device=self.device)
        self._count = 0  # frames since the beginning; the newest frame's index is count - 1
        self._cache = Cache()
        self._recent: Views | None = None
        self._memory: Views | None = None
        self._age = 0
        self._stale = True
        self._guide: Tensor | None = None
        self._frame: np.ndarray | None = None

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
        self._clear()
        given = options or {}
        size = self.model.config.size
        frames = np.asarray(given.get("frames", np.full((1, size, size, 3), 128, np.uint8)))
        if (
            frames.ndim != 4
            or frames.shape[1:] != (size, size, 3)
            or frames.dtype != np.uint8
            or not len(frames)
        ):
            raise DreamError(
                f"context frames: expected uint8 (n, {size}, {size}, 3), found {frames.dtype} {frames.shape}"
            )
        actions = given.get("actions", [])
        if len(actions) != len(frames) - 1:
            raise DreamError(
                f"context of {len(frames)} frames needs {len(frames) - 1} actions, found {len(actions)}"
            )
        keep = max(self.histories) + REPLAYED
        start = max(0, len(frames) - keep)
        led = [torch.zeros(self.model.config.action_dim, device=self.device)]
        led += [self._vector(a) for a in list(actions)[start:]]
        self._random = torch.Generator().manual_seed(self._seed if seed is None else seed)
        self._latents = list(self._encode(frames[start:]))
        self._actions, self._count = led, len(self._latents)
        poses = given.get("poses")
        self._reckon(0, None if poses is None else np.asarray(poses)[start:])
        self._replay()
        self._frame = frames[-1]
        return frames[-1], self._info({})

    @torch.inference_mode()
    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Imagine the frame that the action leads to: uint8 (H, W, 3).

        Raises:
            DreamError: no reset came before.
        """
        if not self._latents:
            raise DreamError(
                "a dream needs reset(options={'frames': ..., 'actions': ...}) before its first step"
            )
        m, clock = self.model, time.perf_counter()
        ms: dict[str, float] = {}

        def lap(phase: str) -> None:
            nonlocal clock
            now = time.perf_counter()
            ms[phase] = ms.get(phase, 0.0) + (now - clock) * 1e3
            clock = now

        if self._stale or self._age >= REFRESH:
            self._refresh()
        lap("compress")
        led, before = self._vector(action), self._poses[-1][None]
        pose, moved = m.odometry.next_pose(before, self._latents[-1][None], led[None], self._motion)
        if self.pose_from == "true" and self._guide is not None:
            pose, self._guide = self._continue(self._guide[None]), None
            moved = m.motion(before, pose)
        lap("odometry")
        assert self._memory is not None and self._recent is not None
        index = torch.tensor([self._count], device=self.device)
        # Frames that left the short window since the last compression are not in the memory yet.
        recent = self._recent.newest(min(self.history, self.window + self._age))
        guess, read = m.read(self._memory + recent, pose[:, None], index)
        lap("read")
        control = m.control(led[None, None], moved[:, None], pose[:, None, 4])

        def denoise(z: Tensor, level: Tensor) -> Tensor:
            return guess + m.denoiser.denoise(z, level, control, read, self._cache, self._count)

        noise = torch.randn(guess.shape, generator=self._random).to(self.device)
        clean, _ = autoregressive_step(denoise, guess[:, :0], noise, self._schedule, self.denoising_steps)
        lap("denoise")
        frame = to_uint8(m.autoencoder.decode(clean[:, 0]))[0]
        lap("decode")
        self._append(clean[0, 0], led, pose[0], moved)
        self._commit(len(self._latents) - 1, self._count - 1)
        self._age += 1
        lap("commit")
        self._frame = frame
        return frame, 0.0, False, False, self._info(ms)

    @torch.inference_mode()
    def correct(self, frames: np.ndarray, poses: np.ndarray | None = None) -> None:
        """Replace the newest len(frames) frames of the dream's past by true ones, (n, H, W, 3).

        The pose is reckoned anew along the true frames; true poses (n, 5) are used where ``pose_from`` is ``true``.

        Raises:
            DreamError: more frames than the dream has.
        """
        n = min(len(frames), len(self._latents))
        if len(frames) > self._count:
            raise DreamError(f"cannot replace {len(frames)} frames of a dream that has {self._count}")
        if n == 0:
            return
        self._latents[-n:] = list(self._encode(frames[-n:]))
        self._reckon(len(self._latents) - n, None if poses is None else poses[-n:])
        self._replay()
        self._frame = frames[-1]

    def guide(self, pose: np.ndarray) -> None:
        """Give the true pose (5,) of the next frame; used where ``pose_from`` is ``true``."""
        self._guide = torch.as_tensor(np.asarray(pose, np.float32), device=self.device)

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """The newest frame."""
        return self._frame

    def _vector(self, action: Any) -> Tensor:
        flat = action
        if not (
            isinstance(action, np.ndarray)
            and action.dtype == np.float32
            and action.shape == (self.model.config.action_dim,)
        ):
            flat = vector(self.action_space, action)
        return self.model.normalise(torch.as_tensor(flat, device=self.device))

    def _encode(self, frames: np.ndarray) -> Tensor:
        return self.model.autoencoder.encode(to_tensor(frames, self.device))

    def _continue(self, pose: Tensor) -> Tensor:
        """A true pose (1, 5) with its angles wrapped as the dream keeps them."""
        return torch.cat([pose[:, :3], wrap(pose[:, 3:4]), pose[:, 4:]], 1)

    def _reckon(self, first: int, true: np.ndarray | None) -> None:
        """Poses of the frames from ``first`` on: true ones where they are to be used, else dead reckoning."""
        m = self.model
        if true is not None and self.pose_from == "true":
            rows = torch.as_tensor(np.asarray(true, np.float32), device=self.device)
            self._poses[first:] = list(rows)
            if len(self._poses) > 1:
                self._motion = m.motion(self._poses[-2][None], self._poses[-1][None])
            return
        if first == 0:
            zero = torch.zeros(1, device=self.device)
            none = torch.zeros(1, POSE, device=self.device)
            _, pitch = m.odometry(self._latents[0][None], self._actions[0][None], none, zero)
            self._poses = [torch.cat([torch.zeros(4, device=self.device), pitch.clamp(-90, 90)])]
            self._motion, first = none, 1
        elif first > 1:
            self._motion = m.motion(self._poses[first - 2][None], self._poses[first - 1][None])
        del self._poses[first:]
        for i in range(first, len(self._latents)):
            pose, self._motion = m.odometry.next_pose(
                self._poses[-1][None], self._latents[i - 1][None], self._actions[i][None], self._motion
            )
            self._poses.append(pose[0])

    def _replay(self) -> None:
        """Compute keys, values and features of the newest frames again."""
        self._cache, self._recent = Cache(), None
        first = max(0, len(self._latents) - REPLAYED)
        for i in range(first, len(self._latents)):
            self._commit(i, self._count - len(self._latents) + i)
        self._stale = True

    def _append(self, latent: Tensor, led: Tensor, pose: Tensor, moved: Tensor) -> None:
        for kept, new in ((self._latents, latent), (self._actions, led), (self._poses, pose)):
            kept.append(new)
            del kept[: -(max(self.histories) + REPLAYED)]
        self._motion = moved
        self._count += 1

    def _commit(self, i: int, index: int) -> None:
        """Frame i of those kept becomes context: keys and values for the denoiser, points for the reader."""
        m = self.model
        pose, before = self._poses[i][None, None], self._poses[max(0, i - 1)][None, None]
        control = m.control(self._actions[i][None, None], m.motion(before, pose), pose[..., 4])
        latent = self._latents[i][None, None]
        level = torch.full((1, 1), CONTEXT_LEVEL, device=self.device)
        m.denoiser.commit(latent, level, control, self._cache, index)
        one = torch.ones(1, 1, dtype=torch.bool, device=self.device)
        view = m.views(latent, pose, torch.tensor([index], device=self.device), one)
        self._recent = view if self._recent is None else (self._recent + view).newest(self.window + REFRESH)

    def _refresh(self) -> None:
        """Compress what lies behind the short window."""
        n = len(self._latents)
        first, stop = max(0, n - self.history), max(0, n - self.window)
        first = min(first, stop)
        # A forgetful dream (or a young one) has nothing to compress; empty tensors keep one path for both.
        kept = slice(first, stop)
        shape = (0, *self._latents[0].shape)
        past = Past(
            torch.stack(self._latents[kept])[None] if stop > first else self._latents[0].new_zeros(1, *shape),
            torch.stack(self._actions[kept])[None]
            if stop > first
            else self._actions[0].new_zeros(1, 0, len(self._actions[0])),
            torch.stack(self._poses[kept])[None] if stop > first else self._poses[0].new_zeros(1, 0, POSE),
            torch.arange(self._count - n + first, self._count - n + stop, device=self.device),
            torch.ones(1, stop - first, dtype=torch.bool, device=self.device),
        )
        self._memory = self.model.remember(past, self._poses[-1][None], self._count, self.budget)
        self._age, self._stale = 0, False

    def _info(self, ms: dict[str, float]) -> dict[str, Any]:
        latents = 0 if self._memory is None else len(self._memory)
        return {
            "pose": self._poses[-1].double().cpu().numpy(),
            "memory_frames": min(self.history, len(self._latents)),
            "memory_latents": latents,
            "ms": ms,
        }
