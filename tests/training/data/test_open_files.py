"""A folder may hold more episodes than a process may have files open."""

from __future__ import annotations

import errno
import resource
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.episodes import open_files
from envs.episodes.recorder import Recorder
from tests.envs.flatland import Flatland, walk
from training.data.episodes import open_episodes

LIMIT, EPISODES = 300, 400


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recorder = Recorder(Flatland(), tmp_path, name=lambda meta: "e000")
    recorder.reset(seed=0)
    for _ in range(3):
        recorder.step(walk("minecraft", 5.0))
    recorder.close()
    for i in range(1, EPISODES):
        shutil.copyfile(tmp_path / "e000.zip", tmp_path / f"e{i:03d}.zip")
    return tmp_path


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, hard))
    open_files.most.cache_clear()
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    open_files.most.cache_clear()


@pytest.mark.usefixtures("few")
def test_more_episodes_than_files_that_may_be_open_are_all_read(folder: Path) -> None:
    episodes = open_episodes(str(folder))
    assert len(episodes) == EPISODES
    first = episodes[0].frames(0, 1)
    for episode in (*episodes, *reversed(episodes)):
        np.testing.assert_array_equal(episode.frames(0, 1), first)
    if Path("/proc/self/fd").exists():
        assert len(list(Path("/proc/self/fd").iterdir())) < LIMIT


@pytest.mark.usefixtures("few")
def test_several_threads_read_what_others_let_go_of(folder: Path) -> None:
    episodes, errors = open_episodes(str(folder)), list[BaseException]()

    def read(seed: int) -> None:
        try:
            for i in np.random.default_rng(seed).permutation(EPISODES):
                episodes[i].frames(1, 2)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_where_no_file_can_be_opened_no_episode_is_called_damaged(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*words: Any, **options: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("envs.episodes.archive.zipfile.ZipFile", refused)
    with pytest.raises(OSError, match="Too many open files"):
        open_episodes(str(folder))
    assert "left out" not in capsys.readouterr().err
