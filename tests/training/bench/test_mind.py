"""MIND's folders and keys are written and read; suites are data for others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from envs.episodes.episode import Episode
from training.bench import mind
from training.bench.__main__ import main
from training.bench.suite import Suite

MODEL = "copying_bench_model:LastFrame"


def test_a_suite_and_a_models_videos_go_through_minds_folders_and_keys(elsewhere: Path, short: Suite) -> None:
    words = [f"suite={short.folder}", "to=mind", "out=there", f"model={MODEL}"]
    assert main(["export", *words]) == 0
    (videos,) = [p for p in Path("there").iterdir() if p.name != "truth"]
    described = json.loads(
        Path("there/truth/1st_data/test/mem_test/labmaze-ahead-00/action.json").read_text()
    )
    assert (described["mark_time"], described["total_time"], len(described["data"])) == (8, 24, 24)
    assert set(described["data"][0]["actor_rpy"]) == {"x", "y", "z"}
    assert {
        k: v for k, v in described["data"][0].items() if k in ("ws", "ad", "ud", "lr") and v not in (0, 1)
    } == {}
    words = [f"test={videos}", "truth=there/truth", "out=result.json", "perceptual=false"]
    assert main(["mind", *words]) == 0
    data = {row["path"]: row for row in json.loads(Path("result.json").read_text())["data"]}
    ahead = data["labmaze-ahead-00"]
    assert ahead["test_type"] == "mem_test" and ahead["sample_frames"] == 16 and ahead["error"] is None
    assert len(ahead["lcm"]["ssim"]) == ahead["lcm"]["length"] == 16
    assert ahead["lcm"]["avg_mse"] == pytest.approx(np.mean(ahead["lcm"]["mse"]), abs=1e-5)
    mirrored = data["labmaze-mirror6-00"]["video_results"][0]
    assert mirrored["mark_time"] * 2 == mirrored["sample_frames"]
    assert mirrored["gsc"]["avg_ssim"] > 0.999  # what never changes is consistent


def test_a_video_keeps_its_pictures_but_for_a_level(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    mind.save(tmp_path / "v.mp4", frames)
    assert np.abs(mind.read(tmp_path / "v.mp4").astype(int) - frames).max() <= 4
    assert len(mind.read(tmp_path / "v.mp4", 2, 2)) == 2
    with pytest.raises(ValueError, match="has no frame 9"):
        mind.read(tmp_path / "v.mp4", 9)


def test_a_bad_video_is_named_and_the_others_are_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = np.zeros((6, 32, 32, 3), np.uint8)
    mind.save(tmp_path / "1st_data/mirror_test/odd/a.mp4", frames[:5])
    mind.save(tmp_path / "1st_data/mem_test/alone/video.mp4", frames)
    mind.save(tmp_path / "1st_data/mirror_test/even/a.mp4", frames)
    found = mind.result(tmp_path, tmp_path)
    by_name = {row["path"]: row for row in found["data"]}
    assert by_name["odd"]["video_results"][0]["error"] == "frame count is not an even number!"
    assert "action.json" in by_name["alone"]["error"]
    assert by_name["even"]["video_results"][0]["gsc"]["avg_psnr"] == 100


def test_a_suite_is_exported_as_episodes_and_as_lerobot_data(tmp_path: Path, short: Suite) -> None:
    pytest.importorskip("pyarrow")
    assert main(["export", f"suite={short.folder}", "to=lerobot", f"out={tmp_path}", "tasks=[ahead]"]) == 0
    with Episode(tmp_path / "episodes/labmaze/labmaze-ahead-00.zip") as episode:
        assert (len(episode), episode.meta["context"], episode.meta["suite"]) == (24, 8, "short-v1")
        assert np.array_equal(episode.action_vectors(), short.actions(short.scripts[1]))
        episode.verify()
    info = json.loads((tmp_path / "lerobot/labmaze/meta/info.json").read_text())
    assert (info["total_episodes"], info["total_frames"]) == (1, 24)
