"""Latents of recorded episodes for a trainer: from its cache, which other machines may fill before."""

from __future__ import annotations

from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn
from tqdm import tqdm

from envs.episodes.episode import Episode
from training.data import episodes as data
from training.data.episodes import LatentEpisode
from training.data.latent_files import latent_file, latents_of_episode, read_latents
from training.loop.cluster import LOCAL, Place, Task, started
from training.loop.train import LoopConfig


def encode_both(
    both: tuple[list[Episode], list[Episode]],
    autoencoder: nn.Module,
    cache: Path,
    accelerator: Accelerator,
    config: LoopConfig,
) -> tuple[list[LatentEpisode], list[LatentEpisode]]:
    """:func:`training.data.episodes.encode_both`; what the cache lacks is encoded where ``config.cluster`` says."""
    if config.cluster != LOCAL and accelerator.is_main_process:
        fill([*both[0], *both[1]], autoencoder, cache, Place(config.cluster))
    return data.encode_both(both, autoencoder, cache, accelerator)  # type: ignore[arg-type]


def fill(episodes: list[Episode], autoencoder: nn.Module, cache: Path, place: Place) -> int:
    """Encode what ``cache`` lacks, an episode a task, on one thread each; how many were encoded.

    The weights travel with each task: a few megabytes beside hundreds of frames.
    """
    cache.mkdir(parents=True, exist_ok=True)
    mark = data.latents_of(autoencoder)
    files = {latent_file(episode, mark, cache): episode for episode in episodes}
    missing = {
        file: str(episode.path) for file, episode in files.items() if read_latents(file, len(episode)) is None
    }
    plain = autoencoder.to("cpu")
    made = (Task(file.stem, encode, (path, plain, mark, str(cache))) for file, path in missing.items())
    device = next(autoencoder.parameters()).device
    with tqdm(total=len(missing), desc="encoding", unit="episode") as bar, started(place) as cluster:
        for _ in cluster.run(made):
            bar.update()
    autoencoder.to(device)
    return len(missing)


def encode(episode: str, autoencoder: nn.Module, mark: str, cache: str) -> str:
    """One episode's latents into the cache; the file."""
    torch.set_num_threads(1)
    with Episode(episode) as opened:
        latents_of_episode(opened, autoencoder, mark, Path(cache), torch.device("cpu"))  # type: ignore[arg-type]
        return str(latent_file(opened, mark, Path(cache)))
