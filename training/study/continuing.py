"""Held-out clips that an AR-Diffusion model goes on with, and how far what it makes is from what was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from envs.episodes.episode import Episode
from training.study.resample import jackknife
from worldsim.config import ConfigError
from worldsim.frames import to_tensor, to_uint8
from worldsim.metrics.bootstrap import interval
from worldsim.metrics.frechet import clip_features, fit, frechet_distance
from worldsim.metrics.perceptual import Perceptual
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


def scores(
    made: np.ndarray, true: np.ndarray, clips: Clips, encode: Any, networks: Perceptual | None = None
) -> dict[str, Any]:
    """SSIM and PSNR at each distance, LFD and, by ``networks``, FVD, of clips (n, F, H, W, 3) against the true ones."""
    cuts = np.cumsum(clips.each)[:-1]
    found: dict[str, Any] = {}
    for name, measure in (("ssim", ssim), ("psnr", psnr)):
        for ahead in (a for a in AHEAD if a <= true.shape[1]):
            values = np.array([measure(t[ahead - 1], m[ahead - 1]) for t, m in zip(true, made, strict=True)])
            groups: list[list[float]] = [part.tolist() for part in np.split(values, cuts)]
            found[f"{name}_{ahead}"] = interval(groups)
    found["lfd"] = _distance(clip_features(encode, true), clip_features(encode, made), cuts)
    if networks is not None:
        found["fvd"] = _distance(networks.clip_features(true), networks.clip_features(made), cuts)
    return found


def _distance(true: Any, made: Any, cuts: np.ndarray) -> dict[str, Any]:
    """Fréchet distance of two sets of features (n, D) of the same clips, whose episodes end at ``cuts``."""
    rows = np.stack([true, made], 1)  # (n, 2, D)

    def distance(parts: Any) -> float:
        both = np.concatenate(parts)
        return frechet_distance(fit(both[:, 0]), fit(both[:, 1]))

    # An episode is left out whole: its clips are no independent samples.
    return jackknife([part for part in np.split(rows, cuts) if len(part)], distance)
