"""What ships has a name, a world and scores that a card can tell, or nothing is copied."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.small_model import small_checkpoint
from tests.helpers.small_walks import small_maze
from training.cards import ship


@pytest.mark.parametrize(
    ("name", "scores", "described"),
    [
        ("../../x", "{}", "name: expected letters, digits"),
        ("mine", "no json", "holds no JSON"),
        ("mine", "[]", "expected an object of scores"),
        ("mine", "{}", "what a card needs is missing"),
        ("mine", json.dumps({"denoising_steps": 1}), "what a card needs is missing"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_copied(
    name: str,
    scores: str,
    described: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(ship, "SHIPPED", tmp_path / "shipped")
    (tmp_path / "scores.json").write_text(scores)
    folder = small_checkpoint(tmp_path / "checkpoint")
    words = [f"checkpoint={folder}", f"name={name}", f"scores={tmp_path / 'scores.json'}", "data=one"]
    assert ship.main(words) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert described in line
    assert not (tmp_path / "shipped").exists() and not (tmp_path.parent / "x").exists()


def test_a_name_stays_with_its_world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ship, "SHIPPED", tmp_path)
    small_checkpoint(tmp_path / "mine")
    before = (tmp_path / "mine" / "model.safetensors").read_bytes()
    other = small_maze(tmp_path / "other")
    (tmp_path / "scores.json").write_text("{}")
    words = [f"checkpoint={other}", "name=mine", f"scores={tmp_path / 'scores.json'}", "data=one"]
    assert ship.main(words) == 2
    assert "choose another name" in capsys.readouterr().err
    assert (tmp_path / "mine" / "model.safetensors").read_bytes() == before
