"""Evaluation gives the same numbers twice, and a card carries them with n and the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training.small_run import record
from tests.worldsim.small_model import small_checkpoint
from training import evaluate, ship


def test_an_interval_holds_the_mean_and_narrows_with_agreement() -> None:
    apart = evaluate.interval([[0.0, 0.2], [0.8, 1.0], [0.4, 0.6]])
    close = evaluate.interval([[0.49, 0.51], [0.5, 0.5], [0.48, 0.52]])
    assert apart["low"] < apart["mean"] == 0.5 < apart["high"]
    assert close["high"] - close["low"] < apart["high"] - apart["low"]
    assert (apart["n"], apart["episodes"]) == (6, 3)
    assert evaluate.interval([[], []])["mean"] is None


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[dict[str, object]]]:
    folder = tmp_path_factory.mktemp("measured")
    data = record(folder / "data", episodes=1, steps=140, name="worldsim/Blocks-v0", policy="needle")
    model = small_checkpoint(folder / "model")
    results: list[dict[str, object]] = []
    for i in range(2):
        out = folder / f"{i}.json"
        words = [f"checkpoint={model}", f"ahead={data}", f"needle={data}", f"out={out}", "budget=4"]
        assert evaluate.main([*words, "denoising_steps=1"]) == 0
        results.append(json.loads(out.read_text()))
    return model, folder / "0.json", results


def test_the_same_episodes_and_seed_give_the_same_numbers(
    measured: tuple[Path, Path, list[dict[str, object]]],
) -> None:
    first, second = measured[2]
    assert first == second
    assert first["ahead"]["dream"]["64"]["ssim"]["n"] == 1  # type: ignore[index]
    assert first["ahead"].keys() == {"dream", "copy", "untrained"}  # type: ignore[attr-defined]
    assert sum(row["memory"]["n"] for row in first["needle"].values()) > 0  # type: ignore[attr-defined]


def test_a_card_carries_the_numbers_and_the_command(
    measured: tuple[Path, Path, list[dict[str, object]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, scores, (first, _) = measured
    monkeypatch.setattr(ship, "SHIPPED", tmp_path)
    words = [f"checkpoint={model}", "name=small", f"scores={scores}", 'data="one episode"']
    assert ship.main(words) == 0
    card = (tmp_path / "small" / "card.md").read_text()
    assert f"{first['ahead']['dream']['16']['ssim']['mean']:.3f}" in card  # type: ignore[index]
    assert "training.evaluate checkpoint=small needle=" in card
    assert "budget=4 denoising_steps=1 pose_from=dream" in card
    assert (tmp_path / "small" / "model.safetensors").exists()
