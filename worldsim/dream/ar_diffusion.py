"""A trained pair of AR-VAE and denoiser as a predictor: AR-Diffusion, one frame an action.

A player's next action is not known before it is pressed, and under causal attention no frame waits for a later one. So
the AD scheduler runs at its autoregressive end, s = T: every frame is denoised alone, in the light of the clean frames
before it, which are there as keys and values; the AR-VAE decodes it behind the frames it has decoded. A frame costs the
same however long the dream is.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim.checkpoint import Loaded
from worldsim.diffusion.ad_scheduler import Plan, generate
from worldsim.diffusion.process import corrupt, to_x0
from worldsim.diffusion.samplers import sampler_from
from worldsim.dream.env import Dream
from worldsim.dream.packing import Kind, pack, unpack
from worldsim.dream.predictor import Context, Frames, Predictor, Row, Settings, Spec
from worldsim.frames import to_uint8
from worldsim.models.ar_diffusion import ArDiffusion
from worldsim.models.autoencoders.ar_vae import Stream
from worldsim.models.denoisers.layers import Cache
from worldsim.models.denoisers.token_frames import FrameCache
from worldsim.session.snapshot import Snapshot, SnapshotError

LADDER = (1, 4, 8)
"""Histories to choose from, as far as the denoiser's window reaches."""


@dataclass
class ArState:
    """A dream by AR-Diffusion: the latents (1, L, D) of the last frames shown, and the normalised action (A,) that led
    to each; ``dreamt``: which of them it drew itself; ``count`` are all frames so far.

    What the networks keep of them is None where it is stale: ``cache`` is the denoiser's, over all frames but the
    newest; ``stream`` the decoder's, over all of them.
    """

    latents: deque[Tensor]
    dreamt: deque[bool]
    actions: deque[Tensor]
    count: int
    random: torch.Generator
    history: int
    cache: FrameCache | None = field(default=None, repr=False)
    stream: Stream | None = field(default=None, repr=False)


KINDS = {
    "ArState": Kind(ArState),
    "FrameCache": Kind(FrameCache),
    "Cache": Kind(Cache),
    "Stream": Kind(Stream),
}
"""What a state is made of."""


class ArPredictor(Predictor[ArState]):
    """An AR-Diffusion model.

    ``history`` is how many clean frames a new one sees, at most the denoiser's window but itself; ``denoising_steps``
    are network calls a frame. Nothing is compressed, so ``budget`` is 0; no pose is known or used.
    """

    def __init__(self, loaded: Loaded[ArDiffusion]) -> None:
        self.loaded, self.model = loaded, loaded.model
        self.device = next(self.model.parameters()).device
        config = self.model.config
        reach = max(1, config.denoiser.window - 1)
        histories = (*(h for h in LADDER if h < reach), reach)
        self._keep = max(reach, config.autoencoder.window - 1)
        self.spec = Spec(
            name="AR-Diffusion",
            action_spec=loaded.action_spec,
            size=config.size,
            histories=histories,
            window=min(histories),
            steps=4,
            most_steps=1000,
            shortest=1,
            poseless="AR-Diffusion uses no pose",
        )

    @torch.inference_mode()
    def begin(self, context: Context, settings: Settings, seed: int) -> ArState:
        """A dream that has seen the newest frames of the context, as many as the networks reach."""
        none = torch.zeros(self.model.config.action_dim, device=self.device)
        actions = [self.model.normalise(none), *(self._normalised(a) for a in context.actions)]
        latents = self.loaded.encode(context.frames[-self._keep :]).unsqueeze(1)
        return ArState(
            deque(latents, self._keep),
            deque([False] * len(latents), self._keep),
            deque(actions, self._keep),
            len(context.frames),
            torch.Generator().manual_seed(seed),
            settings.history,
        )

    @torch.inference_mode()
    def step(self, rows: Sequence[Row[ArState]], action: np.ndarray) -> tuple[list[Frames], dict[str, float]]:
        """Denoise the next frame alone, in the light of those before it."""
        (row,) = rows
        state, began, ms = row.state, time.perf_counter(), dict[str, float]()
        normalised = self._normalised(action)
        latent = self._denoise(state, normalised, row.settings.denoising_steps)  # (1, L, D)
        ms["denoise"] = (time.perf_counter() - began) * 1e3
        began = time.perf_counter()
        frame = to_uint8(self.model.autoencoder.decode_next(latent, self._streaming(state)))[0]
        ms["decode"] = (time.perf_counter() - began) * 1e3
        state.latents.append(latent)
        state.dreamt.append(True)
        state.actions.append(normalised)
        state.count += 1
        return [frame], ms

    @torch.inference_mode()
    def correct(self, state: ArState, frames: Frames, poses: np.ndarray | None, settings: Settings) -> None:
        """Replace the newest frames, of which those count that the networks reach."""
        n = min(len(frames), len(state.latents))
        for i, latent in zip(range(-n, 0), self.loaded.encode(frames[-n:]).unsqueeze(1), strict=True):
            state.latents[i], state.dreamt[i] = latent, False
        state.cache = state.stream = None

    def about(self, state: ArState, settings: Settings) -> dict[str, Any]:
        """Clean frames that were seen."""
        return {"memory_frames": min(settings.history, state.count), "memory_latents": 0}

    def turn(self, state: ArState, settings: Settings) -> None:
        """What the denoiser keeps is of one history."""
        if state.history != settings.history:
            state.history, state.cache = settings.history, None

    @property
    def fingerprint(self) -> str:
        """Of the weights."""
        return self.loaded.fingerprint

    def save(self, state: ArState) -> Snapshot:
        """All of it."""
        return pack(state, KINDS)

    def load(self, snapshot: Snapshot, settings: Settings) -> ArState:
        """The state again."""
        state = unpack(snapshot, KINDS, self.device)
        if not isinstance(state, ArState):
            raise SnapshotError("this state is not one of AR-Diffusion")
        return state

    def _normalised(self, action: np.ndarray) -> Tensor:
        return self.model.normalise(torch.as_tensor(action, device=self.device))

    def _denoise(self, state: ArState, action: Tensor, steps: int) -> Tensor:
        """Clean latents (1, L, D) of the next frame."""
        model, scale, causal = self.model, self.model.config.scale, self.model.config.denoiser.causal
        cache = state.cache if causal else None
        new = 1 if cache is not None else min(state.history, len(state.latents))  # frames that no cache holds
        if cache is None and causal:
            cache = FrameCache()
        elif cache is not None and state.history < max(self.spec.histories):  # it sees the longest to itself
            cache = cache.newest((state.history - new) * model.config.autoencoder.tokens)
        # Those frames go through the network once, before the new one; where attention is not causal, at every call.
        before = torch.cat(list(state.latents)[-new:])[None] * scale  # (1, new, L, D)
        dreamt = torch.tensor([list(state.dreamt)[-new:]], device=self.device)
        known = dreamt * min(model.config.context_level, 1 / steps)  # (1, new), levels
        if known.any():
            noise = torch.randn(before.shape, generator=state.random).to(self.device)
            before = corrupt(model.process, before, noise, known)
        actions = torch.stack([*list(state.actions)[-new:], action])[None]  # (1, new + 1, A)
        done = 0

        def predict(z: Tensor, level: Tensor, frames: slice) -> Tensor:
            nonlocal done
            shown = torch.cat([before[:, done:], z], 1)
            levels = torch.cat([known[:, done:], level], 1)
            first, finished = state.count - new + done, new - done if causal else 0
            raw = model.denoiser(shown, levels, actions[:, done:], None, cache, first, finished)[:, -1:]
            done = new if causal else 0
            return to_x0(model.process, raw, z, level, model.config.prediction)

        noise = torch.randn(before[:, :1].shape, generator=state.random).to(self.device)
        clean = generate(predict, Plan(1, 0, steps), noise, sampler_from("ddim", model.process))
        state.cache = cache
        return clean[:, 0] / scale

    def _streaming(self, state: ArState) -> Stream:
        """The decoder's stream behind the frames so far, which are decoded again where they were replaced."""
        if state.stream is None:
            known = list(state.latents)[
                max(0, len(state.latents) - self.model.config.autoencoder.window + 1) :
            ]
            if self.model.config.autoencoder.window == 1:
                known = []
            state.stream = Stream(frames=state.count - len(known))
            for latent in known:
                self.model.autoencoder.decode_next(latent, state.stream)
        return state.stream


class ArDream(Dream[ArState]):
    """The dream of an AR-Diffusion model."""

    def __init__(
        self, loaded: Loaded[ArDiffusion], denoising_steps: int = 4, history: int | None = None, seed: int = 0
    ) -> None:
        super().__init__(ArPredictor(loaded), seed=seed, history=history, denoising_steps=denoising_steps)
