"""Sealing streams, goes on beside play, and one damaged folder is in nobody's way."""

from __future__ import annotations

import errno
import json
import os
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs import actions
from envs.episodes import sealing
from envs.episodes.episode import Episode, EpisodeWriter, seal_partials
from envs.episodes.recorder import Recorder
from tests.envs.flatland import Flatland, walk

SPEC = actions.spec(actions.space("minecraft"), "minecraft")


def _partial(directory: Path, name: str, steps: int = 3, side: int = 16) -> Path:
    writer = EpisodeWriter(directory, name, {"family": "minecraft", "size": side, "action_spec": SPEC})
    noise = np.random.default_rng(0)
    for i in range(steps + 1):
        picture = noise.integers(0, 255, (side, side, 3), np.uint8)
        writer.add(actions.noop("minecraft"), picture) if i else writer.first(picture)
    writer.close()
    return writer.folder


@pytest.mark.parametrize(
    "meta", ["{", "[]", "{}", '{"action_spec": {"family": "x", "fields": [1]}}', "[" * 9999]
)
def test_a_folder_with_a_damaged_meta_is_set_aside_and_the_others_are_sealed(
    tmp_path: Path, meta: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        _partial(tmp_path, name)
    (tmp_path / "b.partial" / "meta.json").write_text(meta)
    assert [p.name for p in seal_partials(tmp_path)] == ["a.zip", "c.zip"]
    assert (tmp_path / "b.damaged" / "frames" / "000000.png").is_file()
    assert capsys.readouterr().err.count("set aside as b.damaged") == 1
    assert seal_partials(tmp_path) == [] and capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "line", ["null", "3", "{}", '{"action": 1}', "[" * 9999, '{"pose": "far"}', '{"pose": [1, 2]}']
)
def test_steps_count_up_to_the_first_line_that_is_none(tmp_path: Path, line: str) -> None:
    path = _partial(tmp_path, "one", 4) / "steps.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], line, *lines[4:]]) + "\n")
    assert len(Episode(seal_partials(tmp_path)[0])) == 3


def test_pictures_count_up_to_the_first_whose_bytes_are_not_as_written(tmp_path: Path) -> None:
    picture = _partial(tmp_path, "one", 4) / "frames" / "000002.png"
    data = bytearray(picture.read_bytes())
    data[60] ^= 1
    picture.write_bytes(data)
    assert len(Episode(seal_partials(tmp_path)[0])) == 2


def test_links_are_not_followed(tmp_path: Path) -> None:
    folder = _partial(tmp_path, "one", 4)
    secret = tmp_path / "secret.png"
    (folder / "frames" / "000002.png").replace(secret)
    (folder / "frames" / "000002.png").symlink_to(secret)
    (tmp_path / "link.partial").symlink_to(folder)
    assert [(p.name, len(Episode(p))) for p in seal_partials(tmp_path)] == [("one.zip", 2)]


def test_memory_does_not_grow_with_what_is_sealed(tmp_path: Path) -> None:
    _partial(tmp_path, "long", 120, side=128)  # pictures of 49 KB that do not compress: 6 MB
    tracemalloc.start()
    (path,) = seal_partials(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 1.5e6 < path.stat().st_size / 3
    tracemalloc.stop()


def test_a_folder_that_is_being_sealed_is_left_to_who_seals_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    fsync = os.fsync

    def slow(number: int) -> None:
        begun.set()
        go_on.wait(10)
        fsync(number)

    monkeypatch.setattr(sealing.os, "fsync", slow)
    recorder = Recorder(Flatland(), tmp_path, background=True)
    recorder.reset(seed=0)
    for _ in range(3):
        recorder.step(walk("minecraft", 5.0))
    path = recorder.stop()
    assert begun.wait(10) and path is not None and not path.exists()
    recorder.step(walk("minecraft", 5.0))  # play goes on
    assert seal_partials(tmp_path) == []
    go_on.set()
    recorder.close()
    assert len(Episode(path)) == 4 and [p.name for p in tmp_path.iterdir()] == [path.name]


def test_what_fails_beside_play_is_told_later_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    recorder = Recorder(Flatland(), tmp_path, background=True)
    recorder.reset(seed=0)
    recorder.step(walk("minecraft", 5.0))
    with monkeypatch.context() as patch:
        patch.setattr(sealing.os, "fsync", full)
        recorder.stop()
        with pytest.raises(OSError, match=r"disk is full.*2 recorded frames stay"):
            recorder.close()
    assert len(Episode(seal_partials(tmp_path)[0])) == 2


def test_the_actions_before_a_recording_are_kept_whole_however_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envs.episodes.recorder.KEPT", 1000)  # the rest is in a temporary file
    recorder = Recorder(Flatland(), tmp_path, autostart=False)
    recorder.reset(seed=0)
    played: list[Any] = [walk("minecraft", float(i)) for i in range(50)]
    for action in played[:40]:
        recorder.step(action)
    for last in (45, 50):  # two recordings of one episode
        recorder.start()
        for action in played[last - 5 : last]:
            recorder.step(action)
        path = recorder.stop()
        assert path is not None
        found = [*Episode(path).prelude, *(Episode(path).action(i) for i in range(5))]
        assert json.dumps([a["camera"].tolist() for a in found]) == json.dumps(
            [np.asarray(a["camera"], np.float32).tolist() for a in played[:last]]
        )
    recorder.close()


def test_a_recording_that_is_full_goes_on_in_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envs.episodes.limits.FRAMES", 4)
    names = iter("abc")
    recorder = Recorder(Flatland(), tmp_path, name=lambda _: next(names))
    recorder.reset(seed=0)
    for _ in range(7):
        recorder.step(walk("minecraft", 5.0))
    recorder.close()
    episodes = [Episode(p) for p in sorted(tmp_path.glob("*.zip"))]
    assert [len(e) for e in episodes] == [4, 4, 2] and [len(e.prelude) for e in episodes] == [0, 3, 6]
