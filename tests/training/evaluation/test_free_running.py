"""A dream that stays among the world's frames is told from one that fades, wherever it has gone meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from envs.episodes.episode import Episode
from tests.helpers.small_model import small_checkpoint
from tests.helpers.small_run import SIZE, record
from training import evaluate
from training.cards import ship
from training.data.episodes import open_episodes
from training.evaluation.free_running import CLIP, FRAMES, SEGMENTS, elsewhere, held, strips, videos
from worldsim import checkpoint

CONTEXT = 8


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    return record(folder, episodes=2, steps=CONTEXT + FRAMES, name="worldsim/Blocks-v0")


@pytest.fixture(scope="module")
def episodes(data: Path) -> list[Episode]:
    return open_episodes(data)


def test_fading_frames_collapse_and_frames_from_elsewhere_do_not(
    episodes: list[Episode], tmp_path: Path
) -> None:
    encode = checkpoint.load(str(small_checkpoint(tmp_path))).encode
    true = np.stack([e.frames(CONTEXT, CONTEXT + FRAMES) for e in episodes])
    elsewhere = held(encode, episodes, true[::-1, ::-1], CONTEXT)  # the other episode, backwards
    assert elsewhere["collapsed"] == 0 and elsewhere["n"] == 2
    assert list(elsewhere["lfd"].values()) == list(
        reversed(held(encode, episodes, true, CONTEXT)["true"].values())
    )
    kept = np.linspace(1, 0, FRAMES)[:, None, None, None]
    fading = (true * kept + 90 * (1 - kept)).astype(np.uint8)
    faded = held(encode, episodes, fading, CONTEXT)
    assert faded["collapsed"] == 2
    assert faded["ratio"] > 3 and list(faded["lfd"].values()) == sorted(faded["lfd"].values())
    assert len(faded["lfd"]) == len(SEGMENTS)


def test_the_command_measures_a_checkpoint_and_draws_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_checkpoint(tmp_path / "model")
    out, picture = tmp_path / "scores.json", tmp_path / "strips.png"
    words = [f"checkpoint={model}", f"alone={data}", f"context={CONTEXT}", "denoising_steps=1", "budget=4"]
    words.append("perceptual=false")
    assert evaluate.main([*words, f"out={out}", f"strips={picture}", "episodes=1"]) == 0
    found = json.loads(out.read_text())["alone"]
    assert found["elsewhere"].keys() == found["lfd"].keys() and "fvd" not in found
    assert found["n"] == 1 and found["collapsed"] in (0, 1) and found["lfd"].keys() == found["true"].keys()
    with Image.open(picture) as drawn:
        assert drawn.size == (SIZE * FRAMES // 20, 2 * SIZE)
    monkeypatch.setattr(ship, "SHIPPED", tmp_path)
    assert ship.main([f"checkpoint={model}", "name=small", f"scores={out}", "data=one"]) == 0
    card = (tmp_path / "small" / "card.md").read_text()
    assert f"| dream | {found['lfd']['0-44']:.2f} |" in card and f"{found['ratio']:.1f} times as far" in card
    assert "alone=data/small_held_alone episodes=1 budget=4" in card and "steps=370" in card


def test_a_strip_has_true_frames_above_dreamt_ones(episodes: list[Episode]) -> None:
    dark = np.zeros((2, FRAMES, SIZE, SIZE, 3), np.uint8)
    drawn = strips(episodes, dark, CONTEXT)
    assert np.array_equal(drawn[:SIZE, :SIZE], episodes[0].frames(CONTEXT, CONTEXT + 1)[0])
    assert not drawn[SIZE : 2 * SIZE].any() and drawn[2 * SIZE : 3 * SIZE].any()


def test_elsewhere_is_another_true_world_under_the_same_actions(episodes: list[Episode]) -> None:
    other = elsewhere(episodes, CONTEXT)
    true = np.stack([e.frames(CONTEXT, CONTEXT + FRAMES) for e in episodes])
    assert other is not None and other.shape == true.shape and other.std() > 20
    assert np.abs(other.astype(float) - true).mean() > 10
    assert np.array_equal(other, elsewhere(episodes, CONTEXT))


def test_a_short_episode_is_one_sentence(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = small_checkpoint(tmp_path / "model")
    assert evaluate.main([f"checkpoint={model}", f"alone={data}", "context=64"]) == 2
    assert "record with steps=364" in capsys.readouterr().err


def _colour_and_change(clips: np.ndarray) -> np.ndarray:
    """Stands for I3D: mean colour, and how much changes from frame to frame."""
    assert clips.shape[1] == CLIP
    return np.column_stack(
        [clips.mean((1, 2, 3)), np.abs(np.diff(clips.astype(float), axis=1)).mean((1, 2, 3, 4))]
    )


def test_videos_are_compared_stretch_by_stretch_with_all_true_ones(episodes: list[Episode]) -> None:
    true = np.stack([e.frames(CONTEXT, CONTEXT + FRAMES) for e in episodes])
    still = true[:, :1].repeat(FRAMES, 1)
    found = videos(_colour_and_change, episodes, true, CONTEXT, still)
    assert found.keys() == {"dream", "true", "elsewhere", "n"} and found["n"] == 2 * len(episodes)
    assert found["dream"] == found["true"] and len(found["dream"]) == len(SEGMENTS)
    assert "elsewhere" not in videos(_colour_and_change, episodes, true, CONTEXT)
    backwards = videos(lambda clips: clips.mean((1, 2, 3)), episodes, true[:, ::-1], CONTEXT)
    assert backwards["dream"] != backwards["true"]  # other frames in each stretch
    for segment in ("0-44", "256-300"):  # what stands still is far from clips that move
        assert found["elsewhere"][segment] > found["true"][segment]
