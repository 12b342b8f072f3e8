"""What goes wrong in the world outside is one sentence or a count, and costs nothing that was recorded."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from envs.actions import space, spec
from envs.episodes.episode import Episode, EpisodeWriter
from envs.episodes.recorder import Recorder
from tests.envs.flatland import Flatland, walk
from tests.helpers.small_run import record
from training.convert.__main__ import main as convert
from training.data.episodes import DataError, long_enough, open_both, open_episodes


def _episode(folder: Path, name: str = "first", poses: bool = True, size: int = 16) -> Path:
    meta = {"family": "dmlab", "size": size, "seed": 0, "env_id": "tests/World-v0", "fov": 90.0}
    writer = EpisodeWriter(folder, name, {**meta, "action_spec": spec(space("dmlab"), "dmlab")})
    noise = np.random.default_rng(0)
    forward = np.array([0, 0, 0, 1, 0, 0, 0], np.int32)
    writer.first(noise.integers(0, 255, (size, size, 3), np.uint8), np.zeros(5) if poses else None)
    for _ in range(3):
        frame = noise.integers(0, 255, (size, size, 3), np.uint8)
        writer.add(forward, frame, np.zeros(5) if poses else None)
    return writer.seal()


@pytest.fixture
def hundred(tmp_path: Path) -> Path:
    """A hundred episodes, of which one is cut short and one has a damaged picture."""
    folder = tmp_path / "data"
    first = _episode(folder, "000")
    for i in range(1, 100):
        shutil.copy(first, folder / f"{i:03d}.zip")
    whole = first.read_bytes()
    (folder / "037.zip").write_bytes(whole[: len(whole) // 2])
    place = whole.index(b"IDAT") + 20  # inside of a picture, which the zip's checksum tells
    (folder / "050.zip").write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
    return folder


def test_damaged_episodes_among_a_hundred_are_left_out_of_training_with_a_count(
    hundred: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(open_episodes(hundred)) == 98
    told = capsys.readouterr().err
    assert "2 of 100 episodes" in told and "037.zip" in told


def test_damaged_episodes_among_a_hundred_are_left_out_of_a_conversion_with_a_count(
    hundred: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(100):
        if not 34 < i < 53:
            (hundred / f"{i:03d}.zip").unlink()
    assert convert([str(hundred), str(tmp_path / "out"), "--to", "teco"]) == 0
    told = capsys.readouterr()
    assert "2 bad and skipped" in told.out and "16 converted" in told.out
    assert "037.zip" in told.err and "050.zip" in told.err


def test_a_link_to_nothing_and_a_folder_are_left_out_as_damaged_episodes_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    _episode(folder, "good", True)
    (folder / "a.zip").symlink_to(tmp_path / "nowhere")
    (folder / "b.zip").mkdir()
    assert [e.path.stem for e in open_episodes(folder)] == ["good"]
    assert "2 of 3 episodes" in capsys.readouterr().err


def test_a_folder_of_damaged_episodes_alone_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match="no episode"):
        open_episodes(folder)


def test_episodes_without_poses_are_left_out_where_others_have_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    for name, poses in (("a", True), ("b", False), ("c", True)):
        _episode(folder, name, poses)
    assert [e.path.stem for e in open_episodes(folder)] == ["a", "c"]
    assert "1 of 3 episodes" in capsys.readouterr().err


def test_of_recordings_of_two_sizes_the_fewer_are_left_out_or_those_that_the_model_does_not_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    for name, size in (("a", 16), ("b", 24), ("c", 16)):
        _episode(folder, name, size=size)
    assert [e.path.stem for e in open_episodes(folder)] == ["a", "c"]
    told = f"1 of 3 episodes in {folder} left out: their pictures have not 16 pixels each way"
    assert told in capsys.readouterr().err
    known, held_out = open_both(str(folder), "", size=24)
    assert [e.path.stem for e in (*known, *held_out)] == ["b", "b"]
    with pytest.raises(DataError, match="expected pictures of 32 pixels each way"):
        open_both(str(folder), "", size=32)
    _episode(tmp_path / "others", "d", size=24)
    with pytest.raises(DataError, match="others: expected pictures of 16 pixels each way, as in"):
        open_both(str(folder), str(tmp_path / "others"))
    _episode(tmp_path / "others", "e")
    assert [e.path.stem for e in open_both(str(folder), str(tmp_path / "others"))[1]] == ["e"]


def test_a_full_disk_ends_a_conversion_in_one_sentence_and_it_goes_on_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "teco", tmp_path / "out"
    source.mkdir()
    for i in range(3):
        video = np.full((4, 16, 16, 3), 40 * i, np.uint8)
        np.savez_compressed(source / f"{i}.npz", video=video, actions=np.array([2, 2, 2, 2], np.int32))
    seal, sealed = EpisodeWriter.seal, []

    def full(self: EpisodeWriter) -> Path:
        if sealed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out))
        sealed.append(seal(self))
        return sealed[0]

    monkeypatch.setattr(EpisodeWriter, "seal", full)
    assert convert([str(source), str(out), "--from", "teco_dmlab"]) == 2
    assert "the disk is full" in capsys.readouterr().err.strip().splitlines()[-1]
    monkeypatch.setattr(EpisodeWriter, "seal", seal)
    assert convert([str(source), str(out), "--from", "teco_dmlab"]) == 0
    assert "2 converted, 1 were there already" in capsys.readouterr().out
    assert [len(Episode(p)) for p in sorted(out.glob("*.zip"))] == [4, 4, 4]
    assert not list(out.glob("*.partial"))


def test_a_game_that_dies_in_mid_step_loses_no_recorded_frame(tmp_path: Path) -> None:
    class Dying(Flatland):
        def step(self, action: Any) -> Any:
            if self.time == 4:
                raise ConnectionResetError("the game ended")
            return super().step(action)

    env: gymnasium.Env[Any, Any] = Recorder(Dying(), tmp_path)
    env.reset(seed=0)
    with pytest.raises(ConnectionResetError):
        for _ in range(10):
            env.step(walk("minecraft"))
    env.close()
    (recorded,) = tmp_path.glob("*.zip")
    assert len(Episode(recorded)) == 5


def test_short_episodes_are_passed_over_with_a_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for steps in (5, 12, 20, 30):
        record(tmp_path / str(steps), episodes=1, steps=steps)
        (made,) = (tmp_path / str(steps)).glob("*.zip")
        made.rename(tmp_path / f"{steps:02d}.zip")
    both = open_both(str(tmp_path), "")
    known, held_out = long_enough(both, 14, "data")
    assert [len(e) for e in known] == [21] and [len(e) for e in held_out] == [31]
    assert "2 of 4 episodes passed over: they have fewer than 14 frames" in capsys.readouterr().err
    known, held_out = long_enough((both[0][1:], both[1][:0]), 14, "data")
    assert held_out == known[-1:]  # one that is trained on stands in
    with pytest.raises(DataError, match="at least 40 frames, the longest has 31"):
        long_enough(both, 40, "data")
