"""Recorded episodes as training data: random frames, and whole episodes as latents, actions and poses."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from envs.episodes.episode import Episode, EpisodeError
from envs.episodes.open_files import too_many
from envs.episodes.section import SectionLost
from training.data import index
from training.data.latent_files import latents_of_episode
from worldsim.actions import check_same
from worldsim.config import addresses
from worldsim.metrics.retrieval import RevisitFinder
from worldsim.models.autoencoders.ar_vae import ArVae
from worldsim.models.autoencoders.conv import ConvAutoencoder
from worldsim.models.autoencoders.sd3 import Sd3Autoencoder

REQUESTS = 16
"""Files of a store that are asked for at once."""


class DataError(ValueError):
    """A data folder that cannot be trained on."""


def open_episodes(folder: str | Path, size: int | None = None) -> list[Episode]:
    """Every sealed episode of a folder, here or in a store, by name; all of one world, size and action language.

    Of recordings of several sizes those of ``size`` pixels are kept, else those of the size that most of them have (of
    two the larger), and the others left out with a count on stderr.

    What the folder's index has (:mod:`training.data.index`) was read when the index was made, and is opened when it is
    read from. Every other file is read once (of one in a store its meta.json): one that is damaged or no whole episode
    is left out, with a count on stderr. Where some episodes tell poses and others do not, so are the others.

    Raises:
        DataError: no folder, no episode in it, or episodes of different worlds.
        ActionSpecMismatch: episodes of different action languages.
        StoreError, SectionLost: the store cannot be spoken to.
    """
    name = str(folder)
    if not addresses.is_address(name) and not addresses.local_path(name).is_dir():
        raise DataError(f"no folder of episodes at {folder}; make one with `worldsim collect`")
    rows, lie = index.read(name), index.entries(name)
    others = index.loose(rows, lie)
    indexed = [row for row in rows if row.shard not in others]
    found, bad = index.episodes(name, indexed, lie), list[str]()
    for file, episode in _opened(name, others):
        if isinstance(episode, Episode):
            found.append(episode)
        else:  # damaged, or a link to nothing, or not to be read
            bad.append(f"{episode}" or file)
    if bad:
        count = f"{len(bad)} of {len(bad) + len(found)} episodes in {folder} left out"
        print(f"{count}, the first because {bad[0]}", file=sys.stderr)
    if not found:
        raise DataError(f"no episode (*.zip) in {folder}; make some with `worldsim collect out={folder}`")
    ordered = sorted(found, key=lambda episode: episode.path.name)
    return _alike(_of_one_size(ordered, name, size), name)


def _opened(folder: str, files: dict[str, addresses.Entry]) -> Iterator[tuple[str, Episode | Exception]]:
    """Each of these files of a folder as an episode, or why it is none; those of a store several at a time."""
    far = addresses.is_address(folder)

    def opened(file: str) -> Episode | Exception:
        try:
            episode = index.open_loose(folder, file, files[file])
            if not far:
                episode.verify()
            return episode
        except (EpisodeError, OSError) as error:
            if isinstance(error, SectionLost) or too_many(error):  # which says nothing of this file
                raise
            return error

    if not far:
        yield from ((file, opened(file)) for file in files)
        return
    with ThreadPoolExecutor(REQUESTS) as pool:
        yield from zip(files, pool.map(opened, files), strict=True)


def _of_one_size(found: list[Episode], folder: str, size: int | None) -> list[Episode]:
    """Those of ``size`` pixels each way, where there are some, else of the size that most have."""
    sizes = Counter(int(episode.meta["size"]) for episode in found)
    kept = size if size is not None and size in sizes else max(sizes, key=lambda each: (sizes[each], each))
    if len(sizes) > 1:
        count = f"{len(found) - sizes[kept]} of {len(found)} episodes in {folder} left out"
        print(f"{count}: their pictures have not {kept} pixels each way", file=sys.stderr)
    return [episode for episode in found if episode.meta["size"] == kept]


def _alike(found: list[Episode], folder: str) -> list[Episode]:
    """Those that tell poses, where some do, all of one world.

    Raises:
        DataError, ActionSpecMismatch: they are not of one world and action language.
    """
    episodes = [episode for episode in found if episode.posed] or found
    if len(episodes) < len(found):
        missing = len(found) - len(episodes)
        print(f"{missing} of {len(found)} episodes in {folder} left out: they have no poses", file=sys.stderr)
    first = episodes[0].meta
    for episode in episodes[1:]:
        check_same(
            first["action_spec"],
            episode.meta["action_spec"],
            addresses.join(folder, "the first episode"),
            "a later one",
        )
        for key in ("env_id", "fov"):
            if episode.meta[key] != first[key]:
                raise DataError(f"{folder} mixes episodes of {key} {first[key]} and {episode.meta[key]}")
    return episodes


def open_both(data: str, held_out: str, size: int | None = None) -> tuple[list[Episode], list[Episode]]:
    """Episodes to train on and held-out ones; without a folder these are the last twentieth, or a lone episode again.

    Args:
        size: side of the pictures that the model which is trained on already takes; None where there is none yet.

    Raises:
        DataError: as :func:`open_episodes`, or pictures of another size, of the model or in the two folders.
        ActionSpecMismatch: the two folders are of worlds with other actions.
    """
    episodes = _of_size(data, size, "which this model was trained on")
    if not held_out:
        few = max(1, len(episodes) // 20)
        return episodes[:-few] or episodes, episodes[-few:]
    others = _of_size(held_out, episodes[0].meta["size"], f"as in {data}")
    check_same(episodes[0].meta["action_spec"], others[0].meta["action_spec"], data, held_out)
    return episodes, others


def _of_size(folder: str, size: int | None, why: str) -> list[Episode]:
    episodes = open_episodes(folder, size)
    if size not in (None, found := episodes[0].meta["size"]):
        expected = f"{folder}: expected pictures of {size} pixels each way, {why}, found {found}"
        raise DataError(f"{expected}; record with size={size}")
    return episodes


def long_enough(
    both: tuple[list[Episode], list[Episode]], frames: int, data: str
) -> tuple[list[Episode], list[Episode]]:
    """The episodes of at least so many frames; the others are passed over, with a count on stderr.

    Where no held-out one is left, one to train on stands in for it.

    Raises:
        DataError: none to train on is long enough.
    """
    known, held_out = ([e for e in some if len(e) >= frames] for some in both)
    every = {str(e.path): len(e) for some in both for e in some}
    if short := sum(length < frames for length in every.values()):
        print(
            f"{short} of {len(every)} episodes passed over: they have fewer than {frames} frames",
            file=sys.stderr,
        )
    if not known:
        raise DataError(
            f"{data}: expected episodes of at least {frames} frames, the longest has {max(every.values())}; "
            "record longer ones"
        )
    return known, held_out or known[-1:]


@dataclass
class LatentEpisode:
    """One episode for the denoiser: latents (N, C, h, w) half, actions (N-1, D), poses (N, 5) or None.

    ``returns`` are the frames whose view was last seen more than 16 frames ago.
    """

    latents: Tensor
    actions: Tensor
    poses: Tensor | None
    returns: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


def returning_frames(poses: np.ndarray | None, older_than: int = 16) -> np.ndarray:
    """Indices of the frames of (N, 5) poses that are revisits of more than ``older_than`` frames' age."""
    if poses is None:
        return np.zeros(0, np.int64)
    finder, picture = RevisitFinder(), np.zeros((8, 8, 3), np.uint8)
    found = [finder.add(picture, pose, i) for i, pose in enumerate(poses)]
    return np.array([i for i, r in enumerate(found) if r is not None and r.age > older_than], np.int64)


def latent_episodes(
    episodes: list[Episode],
    autoencoder: ConvAutoencoder | Sd3Autoencoder | ArVae,
    cache: Path,
    device: torch.device,
    quiet: bool = False,
) -> list[LatentEpisode]:
    """Encode every episode once; the latents are cached on disk (:mod:`training.data.latent_files`)."""
    mark = latents_of(autoencoder)
    cache.mkdir(parents=True, exist_ok=True)
    out = []
    for episode in tqdm(episodes, "encoding", unit="episode", disable=quiet):
        latents = latents_of_episode(episode, autoencoder, mark, cache, device)
        poses: Any = episode.poses
        out.append(
            LatentEpisode(
                torch.from_numpy(latents),
                torch.from_numpy(episode.action_vectors()),
                None if poses is None else torch.from_numpy(np.asarray(poses, np.float32)),
                returning_frames(poses),
            )
        )
    return out


def encode_both(
    both: tuple[list[Episode], list[Episode]],
    autoencoder: ConvAutoencoder | Sd3Autoencoder | ArVae,
    cache: Path,
    accelerator: Accelerator,
) -> tuple[list[LatentEpisode], list[LatentEpisode]]:
    """:func:`latent_episodes` of each; of several processes each encodes its share, and reads what the others cached.

    Where the processes share no folder, each encodes all that it needs.
    """
    quiet, device = not accelerator.is_main_process, accelerator.device
    if accelerator.num_processes > 1:
        every = [episode for some in both for episode in some]
        share = every[accelerator.process_index :: accelerator.num_processes]
        latent_episodes(share, autoencoder, cache, device, quiet)
        accelerator.wait_for_everyone()
    known, held_out = (latent_episodes(some, autoencoder, cache, device, quiet) for some in both)
    return known, held_out


def action_statistics(episodes: list[LatentEpisode]) -> tuple[Tensor, Tensor]:
    """Mean and deviation of every action dimension over the data; constant dimensions pass unscaled."""
    actions = torch.cat([e.actions for e in episodes])
    std = actions.std(0)
    return actions.mean(0), torch.where(std < 1e-3, torch.ones_like(std), std)


def latents_of(autoencoder: torch.nn.Module) -> str:
    """Twelve hex digits that tell which latents an autoencoder makes: another decoder changes none of them."""
    return fingerprint(autoencoder, without=getattr(autoencoder, "DRAWING", ()))


def fingerprint(module: torch.nn.Module, without: tuple[str, ...] = ()) -> str:
    """Twelve hex digits of the weights, those whose names begin with one of ``without`` left out."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if not name.startswith(without):
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
