"""Latents of an episode are its own, whatever other episode has its name, and whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.helpers.small_model import small_model
from tests.helpers.small_run import record
from training.data.episodes import LatentEpisode, latent_episodes, latents_of, open_episodes
from training.data.latent_files import latent_file, read_latents
from worldsim.models.world_model import WorldModel


@pytest.fixture(scope="module")
def model() -> WorldModel:
    return small_model()


def _encoded(model: WorldModel, folder: Path, cache: Path) -> list[LatentEpisode]:
    return latent_episodes(open_episodes(folder), model.autoencoder, cache, torch.device("cpu"), quiet=True)


def test_another_episode_of_the_same_name_is_encoded_itself(model: WorldModel, tmp_path: Path) -> None:
    short, long = record(tmp_path / "short", 1, steps=10), record(tmp_path / "long", 1, steps=15)
    for folder in (short, long):
        next(folder.glob("*.zip")).rename(folder / "maze-000000.zip")
    cache = tmp_path / "latents"
    (first,), (second,) = _encoded(model, short, cache), _encoded(model, long, cache)
    assert (len(first.latents), len(second.latents)) == (11, 16)
    torch.testing.assert_close(_encoded(model, short, cache)[0].latents, first.latents)
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("left", [0, 40, 500])
def test_a_file_that_was_cut_short_is_made_again(model: WorldModel, tmp_path: Path, left: int) -> None:
    folder, cache = record(tmp_path / "data", 1, steps=10), tmp_path / "latents"
    (before,) = _encoded(model, folder, cache)
    file = latent_file(open_episodes(folder)[0], latents_of(model.autoencoder), cache)
    file.write_bytes(file.read_bytes()[:left])
    assert read_latents(file, 11) is None
    torch.testing.assert_close(_encoded(model, folder, cache)[0].latents, before.latents)
    assert read_latents(file, 11) is not None
