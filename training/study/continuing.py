"""Held-out clips that an AR-Diffusion model goes on with, and how far what it makes is from what was."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from envs.episodes.episode import Episode
from training.study.resample import jackknife
from worldsim.config import ConfigError
from worldsim.frames import to_tensor, to_uint8
from worldsim.metrics.bootstrap import interval
from worldsim.metrics.frechet import clip_features, fit, frechet_distance
from worldsim.metrics.perceptual import NetworkError, Perceptual
from worldsim.metrics.ssim import psnr, ssim
from worldsim.models.ar_diffusion import ArDiffusion, Sampling

AHEAD = (1, 4, 16)


@dataclass
class ClipsConfig:
    """``clips`` stretches of every episode in ``held_out``: ``given`` true frames, then ``frames`` new ones."""

    held_out: str = ""
    clips: int = 2
    given: int = 4
    frames: int = 16


@dataclass
class Clips:
    """Held-out clips (n, G + F, H, W, 3), what led to each frame (n, G + F, A), and how many each episode gave."""

    frames: np.ndarray
    actions_before: np.ndarray
    each: list[int]


def held_out(config: ClipsConfig, episodes: list[Episode]) -> Clips:
    """``config.clips`` stretches an episode, evenly spread.

    Raises:
        ConfigError: no episode is long enough.
    """
    length, frames, actions_before, each = config.given + config.frames, [], [], []
    for episode in episodes:
        last = len(episode) - length
        starts = sorted({int(i) for i in np.linspace(1, last, config.clips)}) if last >= 1 else []
        actions = episode.action_vectors()
        frames += [episode.frames(i, i + length) for i in starts]
        actions_before += [actions[i - 1 : i + length - 1] for i in starts]
        each.append(len(starts))
    if not frames:
        raise ConfigError(f"{config.held_out}: expected episodes of more than {length} frames, found none")
    return Clips(np.stack(frames), np.stack(actions_before), each)


@torch.inference_mode()
def continued(model: ArDiffusion, clips: Clips, given: int, sampling: Sampling) -> np.ndarray:
    """The new frames of every clip, uint8 (n, F, H, W, 3)."""
    device = next(model.parameters()).device
    random, made = torch.Generator().manual_seed(0), []
    for shown, actions_before in zip(clips.frames, clips.actions_before, strict=True):
        known = model.autoencoder.encode(to_tensor(shown[:given], device))[None]
        actions = model.normalise(torch.as_tensor(actions_before, device=device))[None]
        latents = torch.cat([known, model.generate(known, actions, sampling, random)], 1)
        made.append(to_uint8(model.autoencoder.decode(latents)[0, given:]))
    return np.stack(made)


@torch.inference_mode()
def rebuilt(model: ArDiffusion, clips: Clips, given: int) -> np.ndarray:
    """The same frames as the AR-VAE alone shows them."""
    device = next(model.parameters()).device
    made = []
    for shown in clips.frames:
        latents = model.autoencoder.encode(to_tensor(shown, device))[None]
        made.append(to_uint8(model.autoencoder.decode(latents)[0, given:]))
    return np.stack(made)


def copied(clips: Clips, given: int) -> np.ndarray:
    """The last frame that was given, as often as frames were asked for."""
    return np.repeat(clips.frames[:, given - 1 : given], clips.frames.shape[1] - given, axis=1)


def networks_or_none(device: torch.device, precision: str) -> Perceptual | None:
    """LPIPS and FVD; without the extra ``perceptual`` a line says that they are left out."""
    try:
        return Perceptual.load(device, precision)
    except NetworkError as error:
        print(f"no LPIPS, no FVD: {error}", file=sys.stderr)
        return None


@dataclass
class Reference:
    """The true new frames of clips, uint8 (n, F, H, W, 3), and what others are scored by against them.

    ``encode``: frames to the latents in whose space LFD is measured; ``networks``: of LPIPS and FVD, or None.
    """

    true: np.ndarray
    clips: Clips
    encode: Any
    networks: Perceptual | None = None

    def per_clip(self, made: np.ndarray) -> dict[str, list[list[float]]]:
        """SSIM, PSNR (dB) and LPIPS at each distance, of each episode's clips; rows over the same clips are pairs."""
        cuts, found = np.cumsum(self.clips.each)[:-1], {}
        for name, measure in (("ssim", ssim), ("psnr", psnr), ("lpips", self._lpips)):
            for ahead in (a for a in AHEAD if a <= self.true.shape[1]):
                if name == "lpips" and self.networks is None:
                    continue
                pairs = zip(self.true[:, ahead - 1], made[:, ahead - 1], strict=True)
                values = np.array([measure(true, other) for true, other in pairs])
                found[f"{name}_{ahead}"] = [part.tolist() for part in np.split(values, cuts)]
        return found

    def scores(self, made: np.ndarray) -> dict[str, Any]:
        """The means of :meth:`per_clip`, LFD and FVD of clips (n, F, H, W, 3), with their intervals over episodes."""
        found: dict[str, Any] = {name: interval(groups) for name, groups in self.per_clip(made).items()}
        cuts = np.cumsum(self.clips.each)[:-1]
        found["lfd"] = _distance(self._latents, clip_features(self.encode, made), cuts)
        if self.networks is not None:
            found["fvd"] = _distance(self._features, self.networks.clip_features(made), cuts)
        return found

    def _lpips(self, true: np.ndarray, made: np.ndarray) -> float:
        assert self.networks is not None
        return float(self.networks.lpips(true[None], made[None])[0])

    @cached_property
    def _latents(self) -> Any:
        return clip_features(self.encode, self.true)

    @cached_property
    def _features(self) -> Any:
        assert self.networks is not None
        return self.networks.clip_features(self.true)


def _distance(true: Any, made: Any, cuts: np.ndarray) -> dict[str, Any]:
    """Fréchet distance of two sets of features (n, D) of the same clips, whose episodes end at ``cuts``."""
    rows = np.stack([true, made], 1)  # (n, 2, D)

    def distance(parts: Any) -> float:
        both = np.concatenate(parts)
        return frechet_distance(fit(both[:, 0]), fit(both[:, 1]))

    # An episode is left out whole: its clips are no independent samples.
    return jackknife([part for part in np.split(rows, cuts) if len(part)], distance)
