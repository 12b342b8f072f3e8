"""A dream by AR-Diffusion: a gymnasium environment over a trained pair of AR-VAE and denoiser, one frame an action.

A player's next action is not known before it is pressed, and under causal attention no frame waits for a later one. So
the AD scheduler runs at its autoregressive end, s = T: every frame is denoised alone, in the light of the clean frames
before it, which are there as keys and values; the AR-VAE decodes it behind the frames it has decoded. A frame costs the
same however long the dream is.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim.checkpoint import Loaded
from worldsim.diffusion.ad_scheduler import Plan, generate
from worldsim.diffusion.process import to_x0
from worldsim.diffusion.samplers import sampler_from
from worldsim.dream.context import DreamError
from worldsim.dream.poseless import PoselessDream
from worldsim.frames import to_uint8
from worldsim.models.ar_diffusion import ArDiffusion
from worldsim.models.autoencoders.ar_vae import Stream
from worldsim.models.denoisers.layers import Cache

LADDER = (1, 4, 8)
"""Histories to choose from, as far as the denoiser's window reaches."""


class ArDream(PoselessDream[ArDiffusion]):
    """An AR-Diffusion model, played like a world.

    ``history`` is how many clean frames a new one sees, at most the denoiser's window but itself; ``denoising_steps``
    are network calls a frame. Nothing is compressed, so ``budget`` is 0; no pose is known or used.
    """

    def __init__(
        self, loaded: Loaded[ArDiffusion], denoising_steps: int = 4, history: int | None = None, seed: int = 0
    ) -> None:
        super().__init__(loaded, seed)
        config = self.model.config
        reach = max(1, config.denoiser.window - 1)
        self.histories, self.budgets = (*(h for h in LADDER if h < reach), reach), (0,)
        keep = max(reach, config.autoencoder.window - 1)
        self._latents: deque[Tensor] = deque(maxlen=keep)  # (1, L, D) each, the last frames shown
        self._led: deque[Tensor] = deque(maxlen=keep)  # the normalised action (A,) that led to each
        self._count = 0  # frames in all
        self._cache: Cache | None = (
            None  # of the denoiser, over all frames but the newest; None where it is stale
        )
        self._stream: Stream | None = None  # of the decoder, over all frames; None where it is stale
        self.denoising_steps = denoising_steps
        self.history = reach if history is None else history

    @property
    def called(self) -> str:
        return "AR-Diffusion"

    @property
    def history(self) -> int:
        """Clean frames that a new frame sees."""
        return self._history

    @history.setter
    def history(self, value: int) -> None:
        if not 1 <= value <= max(self.histories):
            raise DreamError(f"history: expected 1 to {max(self.histories)} frames, found {value}")
        self._history, self._cache = value, None

    @property
    def budget(self) -> int:
        """0: frames are remembered as they are."""
        return 0

    @budget.setter
    def budget(self, value: int) -> None:
        if value != 0:
            raise DreamError(f"budget: expected 0, since AR-Diffusion compresses nothing, found {value}")

    @property
    def denoising_steps(self) -> int:
        """Network calls a frame takes."""
        return self._steps

    @denoising_steps.setter
    def denoising_steps(self, value: int) -> None:
        if not 1 <= value <= 1000:
            raise DreamError(f"denoising steps: expected 1 to 1000, found {value}")
        self._steps = value

    @torch.inference_mode()
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin from true context; ``options`` as in :meth:`worldsim.dream.world.DreamEnv.reset`, poses are not used.

        Raises:
            DreamError: frames of another size, or a number of actions that does not fit.
        """
        frames, led = self._begin(seed, options)
        keep = self._latents.maxlen or 1
        self._latents.clear()
        self._latents.extend(self.loaded.encode(frames[-keep:]).unsqueeze(1))
        self._led.clear()
        self._led.extend(led[-keep:])
        self._count, self._cache, self._stream = len(frames), None, None
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
        began, ms, led = time.perf_counter(), dict[str, float](), self._vector(action)
        latent = self._denoise(led)  # (1, L, D)
        ms["denoise"] = (time.perf_counter() - began) * 1e3
        began = time.perf_counter()
        frame = to_uint8(self.model.autoencoder.decode_next(latent, self._streaming()))[0]
        ms["decode"] = (time.perf_counter() - began) * 1e3
        self._latents.append(latent)
        self._led.append(led)
        self._count += 1
        self._frame = frame
        return frame, 0.0, False, False, self._info(ms)

    @torch.inference_mode()
    def correct(self, frames: np.ndarray, poses: np.ndarray | None = None) -> None:
        """Replace the newest frames by true ones (n, H, W, 3).

        Raises:
            DreamError: more frames than the dream has.
        """
        if len(frames) > self._count:
            raise DreamError(f"cannot replace {len(frames)} frames of a dream that has {self._count}")
        n = min(len(frames), len(self._latents))
        if n == 0:
            return
        for i, latent in zip(range(-n, 0), self.loaded.encode(frames[-n:]).unsqueeze(1), strict=True):
            self._latents[i] = latent
        self._cache = self._stream = None
        self._frame = frames[-1]

    def _denoise(self, led: Tensor) -> Tensor:
        """Clean latents (1, L, D) of the next frame."""
        model, scale, causal = self.model, self.model.config.scale, self.model.config.denoiser.causal
        cache = self._cache if causal else None
        new = 1 if cache is not None else min(self.history, len(self._latents))  # frames that no cache holds
        if cache is None and causal:
            cache = Cache()
        elif cache is not None and self.history < max(
            self.histories
        ):  # the longest the denoiser sees to itself
            cache = _newest(cache, (self.history - new) * model.config.autoencoder.tokens)
        # Those frames go through the network once, before the new one; where attention is not causal, at every call.
        before = torch.cat(list(self._latents)[-new:])[None] * scale  # (1, new, L, D)
        actions = torch.stack([*list(self._led)[-new:], led])[None]  # (1, new + 1, A)
        done = 0

        def predict(z: Tensor, level: Tensor, frames: slice) -> Tensor:
            nonlocal done
            shown = torch.cat([before[:, done:], z], 1)
            levels = torch.cat([level.new_zeros(1, new - done), level], 1)
            first, finished = self._count - new + done, new - done if causal else 0
            raw = model.denoiser(shown, levels, actions[:, done:], None, cache, first, finished)[:, -1:]
            done = new if causal else 0
            return to_x0(model.process, raw, z, level, model.config.prediction)

        noise = torch.randn(before[:, :1].shape, generator=self._random).to(self.device)
        clean = generate(predict, Plan(1, 0, self._steps), noise, sampler_from("ddim", model.process))
        self._cache = cache
        return clean[:, 0] / scale

    def _streaming(self) -> Stream:
        """The decoder's stream behind the frames so far, which are decoded again where they were replaced."""
        if self._stream is None:
            known = list(self._latents)[
                max(0, len(self._latents) - self.model.config.autoencoder.window + 1) :
            ]
            if self.model.config.autoencoder.window == 1:
                known = []
            self._stream = Stream(frames=self._count - len(known))
            for latent in known:
                self.model.autoencoder.decode_next(latent, self._stream)
        return self._stream

    def _info(self, ms: dict[str, float]) -> dict[str, Any]:
        return {"memory_frames": min(self._history, self._count), "memory_latents": 0, "ms": ms}


def _newest(cache: Cache, tokens: int) -> Cache:
    """What a cache holds of the last ``tokens`` tokens."""
    if tokens == 0:
        return Cache()
    return Cache([k[:, :, -tokens:] for k in cache.keys], [v[:, :, -tokens:] for v in cache.values])
