"""An evaluation that could give nothing is refused before it begins; one that was ended goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.small_model import small_checkpoint
from tests.helpers.small_run import record
from training import evaluate
from training.evaluation import task
from worldsim.config import addresses


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("mistakes")
    data = record(folder / "data", episodes=2, steps=20, name="worldsim/Blocks-v0")
    model = small_checkpoint(folder / "model")
    return [f"checkpoint={model}", f"ahead={data}", "denoising_steps=1", "perceptual=false", "farthest=4"]


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        ("context=17", "take episodes of 22 frames, found 21 at most; record with steps=21"),
        ("context=-4", "context: expected at least 1 frame, found -4"),
        ("farthest=-4", "expected farthest of at least 1"),
        ("episodes=-1", "episodes: expected at least 0, found -1"),
        ("workers=0", "workers: expected at least 1 process, found 0"),
        ("ahead=", "expected ahead=, needle= or alone="),
        ("out=episode.zip", "out=episode.zip: expected a file that ends in .json"),
        ("strips=s.xyz", "strips=s.xyz: expected a file of this machine that ends in .png"),
    ],
)
def test_a_mistake_is_one_sentence(
    words: list[str], mistake: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main([*words, "context=8", mistake]) == 2
    assert sentence in capsys.readouterr().err


def test_the_folders_of_results_are_made(words: list[str], tmp_path: Path) -> None:
    files = tmp_path / "deep" / "x.json", tmp_path / "pictures" / "s.png"
    assert evaluate.main([*words, "context=8", "episodes=1", f"out={files[0]}", f"strips={files[1]}"]) == 0
    assert all(file.is_file() for file in files)


@pytest.mark.parametrize("place", ["here", "store"])
def test_what_was_ended_goes_on_in_one_process(
    place: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLDSIM_CACHE", str(tmp_path / "cache"))
    out = str(tmp_path / "x.json") if place == "here" else "memory://scores/x.json"
    asked = [*words, "context=16", f"out={out}"]
    player, played = task._player, list[int]()

    most = 1

    def counted(*given: Any) -> Any:
        play = player(*given)

        def one(episode: Any, i: int) -> Any:
            if len(played) == most:
                raise KeyboardInterrupt
            played.append(i)
            return play(episode, i)

        return one

    counted.cache_clear = player.cache_clear  # type: ignore[attr-defined]
    monkeypatch.setattr(task, "_player", counted)
    assert evaluate.main(asked) == 130 and played == [0]
    most = 9
    assert evaluate.main(asked) == 0 and played == [0, 1]
    text = addresses.read(out) if place == "store" else Path(out).read_bytes()
    assert json.loads(text)["ahead"]["dream"]["4"]["ssim"]["n"] == 2
    assert not list(tmp_path.rglob("ahead-*"))
