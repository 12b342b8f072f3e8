"""Episodes as a LeRobot data set: what was played can be read back from it, and an interrupted run goes on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from envs.actions import noop, space, spec
from envs.episodes.episode import EpisodeWriter
from training.convert import __main__ as convert
from training.convert import lerobot

pq = pytest.importorskip("pyarrow.parquet")

SIZE, N = 32, 5
POV = "observation.images.pov"


def _record(folder: Path, name: str, light: int, family: str = "minecraft", count: int = N) -> Path:
    meta = {
        "family": family,
        "size": SIZE,
        "seed": 0,
        "env_id": "tests/World-v0",
        "backend": "test",
        "fov": 70.0,
    }
    writer = EpisodeWriter(folder, name, {**meta, "action_spec": spec(space(family), family)})
    for i in range(count):
        frame, pose = np.full((SIZE, SIZE, 3), light + 10 * i, np.uint8), np.array([i, 1.5, 0, 30 * i, 0])
        if i == 0:
            writer.first(frame, pose)
            continue
        action: Any = noop(family)
        if family == "minecraft":
            action |= {"forward": 1, "camera": np.array([0.5, i], np.float32)}
        writer.add(action, frame, pose, float(i), False, i == count - 1)
    return writer.seal()


def _run(*words: object) -> int:
    return convert.main([str(w) for w in words])


def _rows(folder: Path, index: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(
        folder / f"data/chunk-000/file-{index:03d}.parquet"
    ).to_pylist()
    return rows


def test_what_was_played_can_be_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _record(tmp_path / "rec", "a", 40), _record(tmp_path / "rec", "b", 60, count=4)
    out = tmp_path / "out"
    assert _run(tmp_path / "rec", out, "--to", "lerobot") == 0
    assert "2 converted" in capsys.readouterr().out
    info = json.loads((out / "meta/info.json").read_text())
    assert (info["codebase_version"], info["total_episodes"], info["total_frames"]) == ("v3.0", 2, N + 4)
    assert info["worldsim"]["lossless"] is False
    assert info["splits"] == {"train": "0:2"}
    names = info["features"]["action"]["names"]
    rows = _rows(out, 0)
    assert [row["action"][names.index("forward")] for row in rows] == [1, 1, 1, 1, 0]
    assert [row["action"][names.index("camera_1")] for row in rows] == [1, 2, 3, 4, 0]
    assert [row["observation.state"][3] for row in rows] == [0, 30, 60, 90, 120]
    assert [row["next.reward"] for row in rows] == [1, 2, 3, 4, 0]
    assert [row["next.done"] for row in rows] == [False, False, False, True, True]
    assert [row["index"] for row in _rows(out, 1)] == [5, 6, 7, 8]
    assert [row["timestamp"] for row in rows] == pytest.approx([i / 20 for i in range(N)])


def test_the_pictures_are_those_played_but_for_a_little(tmp_path: Path) -> None:
    _record(tmp_path / "rec", "a", 40)
    _run(tmp_path / "rec", tmp_path / "out", "--to", "lerobot")
    with av.open(str(tmp_path / f"out/videos/{POV}/chunk-000/file-000.mp4")) as video:
        frames = [f.to_ndarray(format="rgb24") for f in video.decode(video=0)]
        rate = video.streams.video[0].average_rate
    assert rate == 20 and {f.shape for f in frames} == {(SIZE, SIZE, 3)}
    assert [f.mean() for f in frames] == pytest.approx([40, 50, 60, 70, 80], abs=3)


def test_episodes_and_statistics_say_where_things_are(tmp_path: Path) -> None:
    _record(tmp_path / "rec", "a", 40), _record(tmp_path / "rec", "b", 60, count=4)
    out = tmp_path / "out"
    _run(tmp_path / "rec", out, "--to", "lerobot")
    listed = [pq.read_table(p).to_pylist()[0] for p in sorted((out / "meta/episodes").glob("*/*.parquet"))]
    assert [(e["episode_index"], e["length"]) for e in listed] == [(0, N), (1, 4)]
    assert [(e["dataset_from_index"], e["dataset_to_index"]) for e in listed] == [(0, 5), (5, 9)]
    assert listed[1][f"videos/{POV}/file_index"] == 1
    assert listed[1][f"videos/{POV}/to_timestamp"] == pytest.approx(4 / 20)
    stats = json.loads((out / "meta/stats.json").read_text())
    poses = np.array([r["observation.state"] for i in range(2) for r in _rows(out, i)])
    np.testing.assert_allclose(stats["observation.state"]["mean"], poses.mean(0), atol=1e-5)
    np.testing.assert_allclose(stats["observation.state"]["std"], poses.std(0), atol=1e-5)
    assert np.shape(stats[POV]["mean"]) == (3, 1, 1) and stats[POV]["max"][0][0][0] == pytest.approx(90 / 255)
    tasks = pq.read_table(out / "meta/tasks.parquet")
    assert tasks.column("task_index").to_pylist() == [0]
    assert b"index_columns" in tasks.schema.metadata[b"pandas"]


def test_an_interrupted_run_goes_on_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, light in (("a", 40), ("b", 60), ("c", 80)):
        _record(tmp_path / "rec", name, light)
    out, save = tmp_path / "out", lerobot._save_video

    def interrupted(path: Path, *rest: Any) -> None:
        if "file-001" in path.name:
            raise KeyboardInterrupt
        save(path, *rest)

    monkeypatch.setattr(lerobot, "_save_video", interrupted)
    assert _run(tmp_path / "rec", out, "--to", "lerobot") == 130
    monkeypatch.setattr(lerobot, "_save_video", save)
    (out / convert.DONE / "a").unlink()  # cut off between an episode and the note that it is done
    assert _run(tmp_path / "rec", out, "--to", "lerobot") == 0
    assert json.loads((out / "meta/info.json").read_text())["total_episodes"] == 3
    assert [_rows(out, i)[0]["index"] for i in range(3)] == [0, 5, 10]


def test_an_episode_of_another_world_is_skipped_with_a_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _record(tmp_path / "rec", "a", 40), _record(tmp_path / "rec", "b", 60, family="dmlab")
    assert _run(tmp_path / "rec", tmp_path / "out", "--to", "lerobot") == 0
    told = capsys.readouterr()
    assert "1 converted" in told.out and "1 bad" in told.out and "another world" in told.err


def test_a_damaged_first_episode_does_not_say_what_the_others_have_to_be(tmp_path: Path) -> None:
    broken = _record(tmp_path / "rec", "a", 40, family="dmlab")
    _record(tmp_path / "rec", "b", 60)
    data = bytearray(broken.read_bytes())
    at = data.index(b"IDAT")
    data[at + 6] ^= 0xFF
    broken.write_bytes(data)
    assert _run(tmp_path / "rec", tmp_path / "out", "--to", "lerobot") == 0
    assert json.loads((tmp_path / "out/meta/info.json").read_text())["total_episodes"] == 1


def test_without_pyarrow_there_is_one_helpful_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _record(tmp_path / "rec", "a", 40)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert _run(tmp_path / "rec", tmp_path / "out", "--to", "lerobot") == 2
    assert "pip install pyarrow" in capsys.readouterr().err
