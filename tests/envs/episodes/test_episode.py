"""Episodes on disk: what is written is read again, what is broken is refused, what a crash leaves is kept."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from envs import actions
from envs.episodes import sealing as episode_sealing
from envs.episodes import writer as episode_writer
from envs.episodes.episode import Episode, EpisodeError, EpisodeWriter, seal_partials

FAMILIES = list(actions.FAMILIES)


def _meta(family: str = "minecraft") -> dict[str, Any]:
    return {
        "family": family,
        "size": 16,
        "seed": 4,
        "action_spec": actions.spec(actions.space(family), family),
    }


def _frames(count: int, size: int = 16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def _some_actions(family: str, count: int) -> list[Any]:
    space = actions.space(family)
    space.seed(1)
    return [space.sample() for _ in range(count)]


def _write(directory: Path, family: str = "minecraft", steps: int = 5, **options: Any) -> EpisodeWriter:
    writer = EpisodeWriter(directory, "one", _meta(family), **options)
    frames = _frames(steps + 1)
    writer.first(frames[0], np.zeros(5))
    for i, action in enumerate(_some_actions(family, steps)):
        writer.add(action, frames[i + 1], np.full(5, (i + 1) / 3), reward=0.25 * i, truncated=i == steps - 1)
    return writer


@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_written_is_read_again(tmp_path: Path, family: str) -> None:
    episode = Episode(_write(tmp_path, family).seal())
    assert len(episode) == 6 and episode.meta["seed"] == 4 and episode.meta["format"] == 1
    assert episode.meta["alignment"] == "action i leads from frame i to frame i+1"
    np.testing.assert_array_equal(episode.frames(0, 6), _frames(6))
    np.testing.assert_array_equal(episode.frames(2, 4), _frames(6)[2:4])
    assert episode.poses is not None and episode.poses.dtype == np.float64
    np.testing.assert_array_equal(episode.poses[:, 0], [i / 3 for i in range(6)])
    np.testing.assert_array_equal(episode.steps["reward"], [0.0, 0.25, 0.5, 0.75, 1.0])
    assert episode.steps["truncated"].tolist() == [False] * 4 + [True]
    assert not list(tmp_path.glob("*.partial")) and episode.prelude == []


@pytest.mark.parametrize("family", FAMILIES)
def test_raw_actions_come_back_as_the_environment_takes_them(tmp_path: Path, family: str) -> None:
    episode, space = Episode(_write(tmp_path, family).seal()), actions.space(family)
    for i, expected in enumerate(_some_actions(family, 5)):
        assert space.contains(episode.action(i))
        np.testing.assert_array_equal(
            gymnasium.spaces.flatten(space, episode.action(i)), gymnasium.spaces.flatten(space, expected)
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_action_vectors_are_gymnasiums_flatten(tmp_path: Path, family: str) -> None:
    vectors, space = Episode(_write(tmp_path, family).seal()).action_vectors(), actions.space(family)
    expected = [gymnasium.spaces.flatten(space, a) for a in _some_actions(family, 5)]
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, np.stack(expected).astype(np.float32))


def test_a_recording_begun_in_mid_episode_keeps_the_actions_before_it(tmp_path: Path) -> None:
    before = _some_actions("minecraft", 3)
    prelude = Episode(_write(tmp_path, prelude=before).seal()).prelude
    assert len(prelude) == 3
    for found, expected in zip(prelude, before, strict=True):
        np.testing.assert_array_equal(found["camera"], expected["camera"])
        assert found["jump"] == expected["jump"]


def test_a_world_without_pose_gives_an_episode_without_poses(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "one", _meta())
    writer.first(_frames(1)[0])
    writer.add(actions.noop("minecraft"), _frames(1)[0])
    assert Episode(writer.seal()).poses is None


def test_the_standard_library_and_pillow_can_read_it_and_nothing_is_compressed(tmp_path: Path) -> None:
    with zipfile.ZipFile(_write(tmp_path).seal()) as archive:
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_STORED}
        assert json.loads(archive.read("meta.json"))["frames"] == 6
        assert {"steps.npz", "meta.json", "frames/000000.png", "frames/000005.png"} <= set(archive.namelist())


def test_nothing_in_an_episode_is_unpickled(tmp_path: Path) -> None:
    path, evil = _write(tmp_path).seal(), tmp_path / "evil.zip"
    np.savez(tmp_path / "steps.npz", action=np.array([{"an": "object"}] * 5, object))
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(evil, "w") as new:
        for name in old.namelist():
            new.writestr(
                name, (tmp_path / "steps.npz").read_bytes() if name == "steps.npz" else old.read(name)
            )
    with pytest.raises(EpisodeError, match="cannot be read"):
        Episode(evil).action_vectors()


def test_sixteen_frames_are_read_in_a_few_milliseconds(tmp_path: Path) -> None:
    writer, frames = EpisodeWriter(tmp_path, "one", _meta()), _frames(300, 64)
    writer.first(frames[0])
    for frame in frames[1:]:
        writer.add(actions.noop("minecraft"), frame)
    with Episode(writer.seal()) as episode:
        episode.frames(0, 1)
        took = []
        for start in range(0, 160, 16):
            began = time.perf_counter()
            episode.frames(start, start + 16)
            took.append(time.perf_counter() - began)
    assert min(took) < 0.02  # about 4 ms on an idle core


ROOT = Path(__file__).parents[3]
IN_WORKERS = """
import multiprocessing, sys
from pathlib import Path
from envs.episodes.episode import Episode
from tests.envs.episodes.test_episode import _read_in_worker

if __name__ == "__main__":
    path, way, expected = sys.argv[1:]
    episode = Episode(Path(path))
    _read_in_worker(episode)  # it is open before the others begin
    with multiprocessing.get_context(way).Pool(2) as pool:
        assert pool.map(_read_in_worker, [episode] * 8) == [int(expected)] * 8
"""


def _read_in_worker(episode: Episode) -> int:
    return int(episode.frames(0, 6).sum())


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_worker_processes_can_read_an_episode_that_is_open(tmp_path: Path, way: str) -> None:
    episode = Episode(_write(tmp_path).seal())
    expected = _read_in_worker(episode)
    # A process of its own forks: one with threads, as this one has after other tests, may never come back from it.
    done = subprocess.run(
        [sys.executable, "-c", IN_WORKERS, str(episode.path), way, str(expected)], cwd=ROOT, timeout=120
    )
    assert done.returncode == 0
    assert _read_in_worker(pickle.loads(pickle.dumps(episode))) == expected


@pytest.mark.parametrize("index", [(0, 7), (-1, 2), (6, 8)])
def test_frames_outside_of_the_episode_are_an_index_error(tmp_path: Path, index: tuple[int, int]) -> None:
    with pytest.raises(IndexError, match="frames 0 to 5"):
        Episode(_write(tmp_path).seal()).frames(*index)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
def test_an_episode_cut_short_is_refused(tmp_path: Path, keep: float) -> None:
    path = _write(tmp_path).seal()
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(EpisodeError, match=r"only the beginning|no whole episode"):
        Episode(path)


def test_foreign_and_newer_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "foreign.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(EpisodeError, match=r"foreign\.zip.*meta\.json is missing"):
        Episode(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("meta.json", json.dumps({"format": 99, "frames": 1, "action_spec": {"fields": []}}))
    with pytest.raises(EpisodeError, match=r"format 99.*reads format 1"):
        Episode(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("meta.json", "[1, 2]")
    with pytest.raises(EpisodeError, match="no episode"):
        Episode(path)
    with pytest.raises(FileNotFoundError):
        Episode(tmp_path / "none.zip")


def test_an_existing_episode_is_never_written_over(tmp_path: Path) -> None:
    _write(tmp_path).seal()
    with pytest.raises(EpisodeError, match="there already"):
        EpisodeWriter(tmp_path, "one", _meta())


@pytest.mark.parametrize("torn", ["png", "line", "line without picture", "temporary picture"])
def test_sealing_what_a_crash_left_keeps_every_finished_frame(tmp_path: Path, torn: str) -> None:
    writer = _write(tmp_path)
    writer.close()
    folder, whole = tmp_path / "one.partial", 6
    last = folder / "frames" / "000005.png"
    if torn == "png":
        last.write_bytes(last.read_bytes()[:-20])
        whole = 5
    elif torn == "line":
        with (folder / "steps.jsonl").open("a") as lines:
            lines.write('{"action": {"attack": 1, "ba')
    elif torn == "line without picture":
        last.unlink()
        whole = 5
    else:
        (folder / "frames" / "000006.png.tmp").write_bytes(b"half")
    assert seal_partials(tmp_path) == [tmp_path / "one.zip"]
    with Episode(tmp_path / "one.zip") as episode:
        assert len(episode) == whole and episode.action_vectors().shape[0] == whole - 1
        np.testing.assert_array_equal(episode.frames(), _frames(6)[:whole])
        assert episode.meta["recovered"]
    assert not folder.exists() and seal_partials(tmp_path) == []


def test_a_crash_between_sealing_and_tidying_up_leaves_one_episode(tmp_path: Path) -> None:
    writer = _write(tmp_path)
    writer.close()
    shutil.copytree(tmp_path / "one.partial", tmp_path / "copy")
    seal_partials(tmp_path)
    (tmp_path / "copy").rename(tmp_path / "one.partial")
    assert seal_partials(tmp_path) == []
    assert [p.name for p in tmp_path.iterdir()] == ["one.zip"]


def test_a_recording_of_the_same_name_is_sealed_beside_the_other(tmp_path: Path) -> None:
    _write(tmp_path, steps=3).close()
    (tmp_path / "one.partial").rename(tmp_path / "kept")
    _write(tmp_path, steps=5).seal()
    (tmp_path / "kept").rename(tmp_path / "one.partial")
    assert [p.name for p in seal_partials(tmp_path)] == ["one-2.zip"]
    assert len(Episode(tmp_path / "one.zip")) == 6 and len(Episode(tmp_path / "one-2.zip")) == 4


def test_folders_of_living_writers_and_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    writer = _write(tmp_path)
    (tmp_path / "other.partial").mkdir()
    assert seal_partials(tmp_path) == []
    assert (tmp_path / "other.partial").exists()
    assert len(Episode(writer.seal())) == 6


def test_a_full_disk_is_told_and_what_was_recorded_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = _write(tmp_path)

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(episode_writer, "_write_whole", full)
        with pytest.raises(OSError, match=r"disk is full.*6 recorded frames stay") as caught:
            writer.add(actions.noop("minecraft"), _frames(1)[0], np.zeros(5))
    assert caught.value.errno == errno.ENOSPC
    assert len(Episode(seal_partials(tmp_path)[0])) == 6


def test_a_full_disk_while_sealing_keeps_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = _write(tmp_path)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(episode_sealing.os, "fsync", full)
        with pytest.raises(OSError, match="disk is full"):
            writer.seal()
    assert [p.name for p in tmp_path.iterdir()] == ["one.partial"]
    assert len(Episode(seal_partials(tmp_path)[0])) == 6


def test_the_same_recording_is_the_same_file(tmp_path: Path) -> None:
    first, second = _write(tmp_path / "a").seal(), _write(tmp_path / "b").seal()
    assert first.read_bytes() == second.read_bytes()
