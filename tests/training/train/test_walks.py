"""Walks are encoded once, and what a clip of them remembers depends on its step and row alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.small_walks import WALK, walks_words
from training import collect_walks
from training.data.episodes import DataError, latents_of
from training.data.evidence_clips import ClipConfig, Clips
from training.data.prefetch import prefetched
from training.data.walks import read
from worldsim import checkpoint


def test_walks_are_whole_episodes_encoded_by_the_checkpoint(small: str, walks: Path) -> None:
    model = checkpoint.load(small).model
    shards = read(walks, latents_of(model.autoencoder))
    assert [len(shard) for shard in shards] == [2, 2, 1]
    shard = shards[0]
    assert shard.frames.shape == (2, WALK, 32, 32, 3)
    assert not shard.actions[:, 0].any(), "nothing led to the first frame"
    assert np.abs(np.diff(shard.poses[0], axis=0)).sum() > 1, "somebody walked"
    seen = torch.from_numpy(np.array(shard.frames[0, :1])).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        latents = model.autoencoder.encode(seen)
    np.testing.assert_allclose(latents[0], shard.latents[0, 0].astype(np.float32), atol=0.1)


def test_what_is_there_is_not_played_again(
    small: str, walks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collect_walks.main(walks_words(small, walks))
    assert "0 shards played, 3 were there already" in capsys.readouterr().out


def test_walks_of_another_autoencoder_are_refused(walks: Path) -> None:
    with pytest.raises(DataError, match="another autoencoder"):
        read(walks, "0123456789ab")


def test_a_clip_remembers_what_its_odds_say(small: str, walks: Path) -> None:
    model = checkpoint.load(small).model
    shards = read(walks)
    for kind, odds in enumerate(([1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1])):
        config = ClipConfig(
            length=5, batch=8, window=4, odds=[float(x) for x in odds], generated=0, shaken=0, dropped=0
        )
        clips = Clips(shards, model, config).batch(0, 1)
        assert clips.evidence.shape == (8, 5, 4, 32, 32)
        shown = clips.evidence[:, :, 3] > 0
        torch.testing.assert_close(clips.covered, torch.nn.functional.avg_pool2d(shown.float(), 8))
        assert bool(shown.any()) == (kind > 0)
        assert not clips.evidence[:, :, :3][~shown[:, :, None].expand(-1, -1, 3, -1, -1)].any()


def test_a_batch_depends_on_its_step_and_row_alone(small: str, walks: Path) -> None:
    model, shards = checkpoint.load(small).model, read(walks)
    one = Clips(shards, model, ClipConfig(length=5, batch=4)).batch(3, 7)
    again = Clips(shards, model, ClipConfig(length=5, batch=2))
    for process in range(2):
        half = again.batch(3, 7, process)
        for name, value in vars(half).items():
            part = getattr(one, name)[2 * process : 2 * process + 2]
            assert value == part if name == "sources" else torch.equal(value, part), name


def test_an_error_while_drawing_ahead_is_raised_where_batches_are_used() -> None:
    def make(step: int) -> int:
        if step == 2:
            raise DataError("a shard is gone")
        return step

    batches = prefetched(make, 0, 2)
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(DataError, match="gone"):
        next(batches)
