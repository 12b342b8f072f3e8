"""Importers and exporters: small files in the formats of the public data sets, made here, there and back."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from envs.actions import noop, space, spec
from envs.episodes.episode import Episode, EpisodeWriter
from training import collect
from training.convert import index, teco
from training.convert.__main__ import main
from training.convert.recording import video_frames

N = 6


def _ramp(count: int = N, h: int = 64, w: int = 64) -> np.ndarray:
    """Frames (count, h, w, 3), each of one grey that tells its number, also after a lossy video."""
    return np.stack([np.full((h, w, 3), 30 * (i + 1), np.uint8) for i in range(count)])


def _mp4(path: Path, frames: np.ndarray) -> None:
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Walk"
        stream: Any = container.add_stream("libx264", rate=Fraction(20))
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def test_notes_in_a_video_that_are_no_text_cost_none_of_its_frames(tmp_path: Path) -> None:
    video = tmp_path / "0.mp4"
    _mp4(video, np.zeros((5, 16, 16, 3), np.uint8))
    video.write_bytes(video.read_bytes().replace(b"Walk", b"\xff\xfe\xff\xfe"))
    assert len(video_frames(video, 16)) == 5


def _numbers(episode: Episode) -> list[int]:
    """The number of the frame that each picture shows."""
    return [round(float(f.mean()) / 30) - 1 for f in episode.frames()]


def _convert(*words: object) -> int:
    return main([str(w) for w in words])


def _meta(family: str, size: int) -> dict[str, Any]:
    return {"family": family, "size": size, "seed": 0, "action_spec": spec(space(family), family)}


def _dmlab(folder: Path, taken: list[int], name: str = "0") -> Path:
    (folder / "train").mkdir(parents=True, exist_ok=True)
    path = folder / "train" / f"{name}.npz"
    np.savez_compressed(path, video=_ramp(len(taken)), actions=np.array(taken, np.int32))
    return path


def _vpt(folder: Path, change: dict[int, dict[str, Any]] | None = None, count: int = N) -> None:
    folder.mkdir(exist_ok=True)
    lines = []
    for i in range(count):
        mouse = {"dx": 0.0, "dy": 0.0, "buttons": [], "newButtons": []}
        line: dict[str, Any] = {"mouse": mouse, "keyboard": {"keys": []}, "isGuiOpen": False}
        line |= {"xpos": float(i), "ypos": 64.0, "zpos": 2.0, "yaw": 190.0, "pitch": 5.0}
        for key, value in (change or {}).get(i, {}).items():
            line[key] = {**line[key], **value} if isinstance(value, dict) else value
        lines.append(json.dumps(line))
    (folder / "play.jsonl").write_text("\n".join(lines))
    _mp4(folder / "play.mp4", _ramp(count, 36, 64))


def test_a_dmlab_action_leads_from_its_frame_to_the_next(tmp_path: Path) -> None:
    _dmlab(tmp_path / "src", [0, 1, 2, 2, 0, 1])
    assert _convert(tmp_path / "src", tmp_path / "out", "--from", "teco_dmlab") == 0
    with Episode(tmp_path / "out" / "train-0.zip") as episode:
        np.testing.assert_array_equal(episode.frames(), _ramp())
        actions = [episode.action(i) for i in range(N - 1)]
        assert [int(a[0]) for a in actions] == [-283, 283, 0, 0, -283]  # the sixth leads nowhere
        assert [int(a[3]) for a in actions] == [0, 0, 1, 1, 0]


def test_a_minecraft_action_led_to_its_own_frame(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    _mp4(tmp_path / "src" / "0.mp4", _ramp())
    np.savez(tmp_path / "src" / "0.npz", actions=np.array([0, 1, 2, 3, 1, 0], np.int32))
    assert _convert(tmp_path / "src", tmp_path / "out", "--from", "teco_minecraft") == 0
    with Episode(tmp_path / "out" / "0.zip") as episode:
        assert _numbers(episode) == list(range(N))
        actions = [episode.action(i) for i in range(N - 1)]
        assert [a["forward"] for a in actions] == [1, 0, 0, 1, 0]  # the first, a dummy, is dropped
        assert [float(a["camera"][1]) for a in actions] == [0, -20, 20, 0, 0]
        assert episode.meta["lossless"] is False


def test_teco_files_come_back_as_they_were(tmp_path: Path) -> None:
    source = _dmlab(tmp_path / "src", [0, 1, 2, 2, 0, 0])
    _convert(tmp_path / "src", tmp_path / "there", "--from", "teco_dmlab")
    assert _convert(tmp_path / "there", tmp_path / "back", "--to", "teco") == 0
    with np.load(source) as old, np.load(tmp_path / "back" / "train-0.npz") as new:
        for name in ("video", "actions"):
            np.testing.assert_array_equal(old[name], new[name])


def test_minecraft_goes_to_teco_and_comes_back(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path / "mine", "a", _meta("minecraft", 64))
    numbers = [1, 3, 2, 0, 1]
    writer.first(_ramp()[0])
    for number, frame in zip(numbers, _ramp()[1:], strict=True):
        writer.add(teco.minecraft_action(number), frame)
    writer.seal()
    assert _convert(tmp_path / "mine", tmp_path / "teco", "--to", "teco") == 0
    with np.load(tmp_path / "teco" / "a.npz") as saved:
        assert saved["actions"].tolist() == [0, *numbers]
    assert _convert(tmp_path / "teco", tmp_path / "back", "--from", "teco_minecraft") == 0
    with Episode(tmp_path / "mine" / "a.zip") as first, Episode(tmp_path / "back" / "a.zip") as last:
        np.testing.assert_array_equal(first.action_vectors(), last.action_vectors())
        assert np.abs(first.frames().astype(int) - last.frames()).max() <= 4  # a video is lossy


def test_an_action_that_teco_does_not_know_is_not_bent_into_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = EpisodeWriter(tmp_path / "mine", "a", _meta("dmlab", 64))
    writer.first(_ramp()[0])
    writer.add(noop("dmlab"), _ramp()[1])
    writer.seal()
    assert _convert(tmp_path / "mine", tmp_path / "teco", "--to", "teco") == 1
    assert "none of the 3" in capsys.readouterr().err
    assert not list((tmp_path / "teco").glob("*.npz"))


def test_a_contractors_line_leads_from_its_frame_to_the_next(tmp_path: Path) -> None:
    change = {
        1: {"keyboard": {"keys": ["key.keyboard.w", "key.keyboard.left.control", "key.keyboard.q"]}},
        2: {"mouse": {"dx": 100.0, "dy": -40.0, "buttons": [1]}},
        3: {"mouse": {"dx": 5000.0}},
        5: {"keyboard": {"keys": ["key.keyboard.space"]}},
    }
    _vpt(tmp_path / "src", change)
    assert _convert(tmp_path / "src", tmp_path / "out", "--from", "vpt", "--size", 32) == 0
    with Episode(tmp_path / "out" / "play.zip") as episode:
        assert _numbers(episode) == list(range(N))
        assert episode.frames(0, 1).shape == (1, 32, 32, 3)
        actions = [episode.action(i) for i in range(N - 1)]
        assert [a["forward"] for a in actions] == [a["sprint"] for a in actions] == [0, 1, 0, 0, 0]
        np.testing.assert_allclose(actions[2]["camera"], [-6.0, 15.0])  # (pitch, yaw), 0.15 degrees a pixel
        assert actions[2]["use"] == 1 and not actions[3]["camera"].any()
        assert sum(a["jump"] for a in actions) == 0  # the last line leads nowhere
        assert episode.poses is not None
        np.testing.assert_allclose(episode.poses[3], [3.0, 65.62, 2.0, -170.0, 5.0])


def test_a_stuck_attack_counts_from_its_next_press(tmp_path: Path) -> None:
    down = {"buttons": [0]}
    press = {"buttons": [0], "newButtons": [0]}
    _vpt(
        tmp_path / "src",
        {0: {"mouse": press}, 1: {"mouse": down}, 2: {}, 3: {"mouse": press}, 4: {"mouse": down}},
    )
    _convert(tmp_path / "src", tmp_path / "out", "--from", "vpt")
    with Episode(tmp_path / "out" / "play.zip") as episode:
        assert [episode.action(i)["attack"] for i in range(N - 1)] == [0, 0, 0, 1, 1]


def test_open_menus_are_cut_out(tmp_path: Path) -> None:
    _vpt(tmp_path / "src", {3: {"isGuiOpen": True}}, count=8)
    _convert(tmp_path / "src", tmp_path / "out", "--from", "vpt")
    parts = sorted(p.name for p in (tmp_path / "out").glob("*.zip"))
    assert parts == ["play-000.zip", "play-001.zip"]
    assert [_numbers(Episode(tmp_path / "out" / p)) for p in parts] == [[0, 1, 2], [4, 5, 6, 7]]


def test_bad_files_are_reported_skipped_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(3):
        _dmlab(tmp_path / "src", [0, 1, 2], str(i))
    whole = (tmp_path / "src" / "train" / "1.npz").read_bytes()
    (tmp_path / "src" / "train" / "1.npz").write_bytes(whole[: len(whole) // 2])
    _dmlab(tmp_path / "src", [0, 7, 2], "3")
    assert _convert(tmp_path / "src", tmp_path / "out", "--from", "teco_dmlab") == 0
    told = capsys.readouterr()
    assert "2 converted, 0 were there already, 2 bad and skipped" in told.out
    assert "1.npz" in told.err and "found 7" in told.err


def test_an_interrupted_conversion_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(3):
        _dmlab(tmp_path / "src", [0, 1, 2], str(i))
    add, calls = EpisodeWriter.add, []

    def interrupted(self: EpisodeWriter, *args: Any, **kwargs: Any) -> None:
        calls.append(1)
        if len(calls) == 4:  # in the middle of the second file
            raise KeyboardInterrupt
        add(self, *args, **kwargs)

    monkeypatch.setattr(EpisodeWriter, "add", interrupted)
    assert _convert(tmp_path / "src", tmp_path / "out", "--from", "teco_dmlab") == 130
    assert len(list((tmp_path / "out").glob("*.zip"))) == 1
    monkeypatch.setattr(EpisodeWriter, "add", add)
    assert _convert(tmp_path / "src", tmp_path / "out", "--from", "teco_dmlab") == 0
    assert "2 converted, 1 were there already, 0 bad" in capsys.readouterr().out
    assert {len(Episode(p)) for p in (tmp_path / "out").glob("*.zip")} == {3}
    assert not list((tmp_path / "out").glob("*.partial"))


def test_another_source_of_the_same_names_is_not_there_already(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        _dmlab(tmp_path / name, [0, 1, 2])
    out = tmp_path / "out"
    assert _convert(tmp_path / "a", out, "--from", "teco_dmlab") == 0
    assert _convert(tmp_path / "a", out, "--from", "teco_dmlab") == 0
    assert "1 were there already" in capsys.readouterr().out
    assert _convert(tmp_path / "b", out, "--from", "teco_dmlab") == 2
    assert "has train-0 already, converted from source=" in capsys.readouterr().err
    assert _convert(tmp_path / "a", out, "--from", "teco_dmlab", "--size", 32) == 2
    assert "size=64, and now it is size=32" in capsys.readouterr().err
    (out / ".done" / "train-0").write_text("")  # from before
    assert _convert(tmp_path / "b", out, "--from", "teco_dmlab") == 0


def test_an_index_is_of_one_world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyarrow")
    for family in ("dmlab", "minecraft"):
        writer = EpisodeWriter(tmp_path / family, family, _meta(family, 64))
        writer.first(_ramp()[0])
        writer.add(noop(family), _ramp()[1])
        writer.seal()
    out = f"out={tmp_path / 'shards'}"
    assert index.main([f"data={tmp_path / 'dmlab'}", out]) == 0
    assert index.main([f"data={tmp_path / 'minecraft'}", out]) == 2
    assert "an index is of one world" in capsys.readouterr().err
    assert len(list((tmp_path / "shards").glob("*.tar"))) == 1


@pytest.mark.parametrize("family", ["minecraft", "dmlab"])
def test_minari_holds_the_frames_and_actions_without_loss(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minari = pytest.importorskip("minari", reason="the extra minari is not installed")
    pytest.importorskip("h5py", reason="the extra minari is not installed")
    frames = np.random.default_rng(0).integers(0, 256, (2, 4, 16, 16, 3), np.uint8)
    asked = space(family)
    asked.seed(0)
    moves = [[asked.sample() for _ in range(3)] for _ in range(2)]
    for k in range(2):
        writer = EpisodeWriter(tmp_path / "mine", f"e{k}", _meta(family, 16))
        writer.first(frames[k][0])
        for move, frame in zip(moves[k], frames[k][1:], strict=True):
            writer.add(move, frame)
        writer.seal()
    for _ in range(2):  # a second run adds nothing
        assert _convert(tmp_path / "mine", tmp_path / "out", "--to", "minari") == 0
    (tmp_path / "out" / ".done" / "e1").unlink()  # what a kill just after the last byte leaves
    assert _convert(tmp_path / "mine", tmp_path / "out", "--to", "minari") == 0
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "out"))
    found = list(minari.load_dataset(f"worldsim/{family}-16-v0").iterate_episodes())
    assert len(found) == 2
    for k, episode in enumerate(found):
        np.testing.assert_array_equal(episode.observations["pov"], frames[k])
        for i, move in enumerate(moves[k]):
            fields = move if isinstance(move, dict) else {"": move}
            for name, value in fields.items():
                row = episode.actions[name][i] if name else episode.actions[i]
                np.testing.assert_array_equal(row, value)


def _of_one_grey(folder: Path, count: int) -> None:
    for k in range(count):
        writer = EpisodeWriter(folder, f"e{k}", _meta("dmlab", 16))
        for i in range(3):
            frame = np.full((16, 16, 3), k, np.uint8)
            writer.add(noop("dmlab"), frame) if i else writer.first(frame)
        writer.seal()


@pytest.mark.parametrize("call", [1, 2, 3, 4])  # the first two are of the first episode
def test_a_minari_data_set_has_each_episode_once_wherever_a_run_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    minari = pytest.importorskip("minari", reason="the extra minari is not installed")
    storage = pytest.importorskip("minari.dataset.minari_storage").MinariStorage
    _of_one_grey(tmp_path / "mine", 3)
    update, calls = storage.update_metadata, []

    def interrupted(self: object, metadata: dict[str, Any]) -> None:
        calls.append(metadata)
        if len(calls) == call:  # the pictures are in their file, the count is not
            raise KeyboardInterrupt
        update(self, metadata)

    monkeypatch.setattr(storage, "update_metadata", interrupted)
    assert _convert(tmp_path / "mine", tmp_path / "out", "--to", "minari") == 130
    assert _convert(tmp_path / "mine", tmp_path / "out", "--to", "minari") == 0
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "out"))
    found = minari.load_dataset("worldsim/dmlab-16-v0").iterate_episodes()
    assert [int(episode.observations["pov"].max()) for episode in found] == [0, 1, 2]


def test_a_minari_data_set_that_a_kill_damaged_is_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("minari", reason="the extra minari is not installed")
    _of_one_grey(tmp_path / "mine", 2)
    assert _convert(tmp_path / "mine" / "e0.zip", tmp_path / "out", "--to", "minari") == 0
    made = tmp_path / "out" / "worldsim" / "dmlab-16-v0"
    before = (made / "data" / "metadata.json").read_text()
    note = {"made": "worldsim/dmlab-16-v0", "before": before}
    (tmp_path / "out" / ".minari-writing").write_text(json.dumps(note))
    pictures = made / "data" / "main_data.hdf5"
    pictures.write_bytes(pictures.read_bytes()[:1000])
    assert _convert(tmp_path / "mine", tmp_path / "out", "--to", "minari") == 2
    assert "dmlab-16-v0 was left half written" in capsys.readouterr().err


def test_minari_makes_the_world_of_an_episode_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    minari = pytest.importorskip("minari", reason="the extra minari is not installed")
    pytest.importorskip("h5py", reason="the extra minari is not installed")
    words = ["env=gym:CartPole-v1", "policy=random", "episodes=1", "steps=3", "workers=1", "size=16"]
    assert collect.main([*words, f"out={tmp_path / 'mine'}"]) == 0
    assert _convert(tmp_path / "mine", tmp_path / "out", "--to", "minari") == 0
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "out"))
    env = minari.load_dataset("worldsim/gym-CartPole-v1-16-v0").recover_environment()
    assert env.reset(seed=0)[0]["pov"].shape == (16, 16, 3)


def test_without_minari_the_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)
    writer = EpisodeWriter(tmp_path, "a", _meta("dmlab", 64))
    writer.first(_ramp()[0])
    writer.add(noop("dmlab"), _ramp()[1])
    writer.seal()
    assert _convert(tmp_path, tmp_path / "out", "--to", "minari") == 2
    assert "pip install 'minari[hdf5]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("missing", "out", "--from", "vpt"), "missing"),
        ((".", "out", "--from", "vpt"), "found none"),
        ((".", "out", "--from", "doom"), "invalid choice"),
        ((".", "out"), "required"),
    ],
)
def test_a_wrong_command_is_one_sentence(
    words: tuple[str, ...],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _convert(*words) == 2
    error = capsys.readouterr().err.strip()
    assert told in error and len(error.splitlines()) == 1
