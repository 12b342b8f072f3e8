"""Latents of recorded episodes on disk: a file for each episode and each encoder, made once."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import torch

from envs.episodes.episode import Episode
from worldsim.frames import to_tensor
from worldsim.models.autoencoders.ar_vae import ArVae
from worldsim.models.autoencoders.conv import ConvAutoencoder
from worldsim.models.autoencoders.sd3 import Sd3Autoencoder


def latent_file(episode: Episode, mark: str, cache: Path) -> Path:
    """Where an episode's latents lie, of the weights that ``mark`` tells.

    By its checksum beside its name, which recordings of another seed or length may have too.
    """
    content = episode.meta.get("sha256") or json.dumps(episode.meta, sort_keys=True, default=str)
    digest = hashlib.sha256(str(content).encode()).hexdigest()[:12]
    return cache / f"{episode.path.stem}-{digest}-{mark}.npy"


def latents_of_episode(
    episode: Episode,
    autoencoder: ConvAutoencoder | Sd3Autoencoder | ArVae,
    mark: str,
    cache: Path,
    device: torch.device,
) -> np.ndarray:
    """An episode's latents (N, C, h, w), half: read, or made and kept, whole or not at all."""
    path = latent_file(episode, mark, cache)
    if (known := read_latents(path, len(episode))) is not None:
        return known
    new = path.with_suffix(f".{os.getpid()}.new.npy")
    latents = _encode(episode, autoencoder, device)
    np.save(new, latents)
    new.replace(path)
    return latents


def read_latents(path: Path, frames: int) -> np.ndarray | None:
    """What a file holds; None where it is not there, was cut short, or is of another number of frames."""
    try:
        latents = np.load(path, allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):
        return None
    return latents if isinstance(latents, np.ndarray) and len(latents) == frames else None


@torch.no_grad()
def _encode(
    episode: Episode, autoencoder: ConvAutoencoder | Sd3Autoencoder | ArVae, device: torch.device
) -> np.ndarray:
    frames = episode.frames(0, len(episode))
    parts = [autoencoder.encode(to_tensor(frames[i : i + 64], device)) for i in range(0, len(frames), 64)]
    return torch.cat(parts).half().cpu().numpy()
