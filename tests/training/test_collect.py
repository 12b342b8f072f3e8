"""Collecting: what is asked for is on disk, a second run goes on, wrong words are one sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from envs.actions import space, spec
from envs.episodes.episode import Episode, EpisodeWriter
from training import collect
from training.benchmark import __main__ as benchmark

ROOT = Path(__file__).parents[2]


def _words(out: Path, **more: object) -> list[str]:
    pytest.importorskip("labmaze")
    words = {"env": "labmaze", "steps": 12, "size": 16, "workers": 1, "out": out, **more}
    return [f"{key}={value}" for key, value in words.items()]


def test_collect_records_every_episode_and_a_second_run_adds_only_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert collect.main(_words(tmp_path, episodes=2, policy="mixed")) == 0
    assert "2 episodes recorded, 0 were there already" in capsys.readouterr().out
    times = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert sorted(times) == ["labmaze-mixed-000000.zip", "labmaze-mixed-000001.zip"]
    (tmp_path / "labmaze-mixed-000002.partial").mkdir()  # as a crash leaves it
    assert collect.main(_words(tmp_path, episodes=3, policy="mixed")) == 0
    assert "1 episodes recorded, 2 were there already" in capsys.readouterr().out
    assert all((tmp_path / name).stat().st_mtime_ns == then for name, then in times.items())
    with Episode(tmp_path / "labmaze-mixed-000002.zip") as episode:
        assert len(episode) == 13 and episode.frames(0, 1).shape == (1, 16, 16, 3)
        assert episode.meta["seed"] == episode.meta["policy_seed"] == 2
        assert episode.meta["policy"] in ("explore", "needle")


def test_two_workers_record_what_one_records(tmp_path: Path) -> None:
    for workers in (1, 2):
        command = ["-m", "training.collect", *_words(tmp_path / str(workers), episodes=2, workers=workers)]
        subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True)
    for path in sorted((tmp_path / "1").iterdir()):
        with Episode(path) as one, Episode(tmp_path / "2" / path.name) as two:
            np.testing.assert_array_equal(one.frames(), two.frames())
            np.testing.assert_array_equal(one.action_vectors(), two.action_vectors())


def test_ctrl_c_ends_cleanly_and_leaves_only_whole_episodes(tmp_path: Path) -> None:
    words = _words(tmp_path, episodes=500, steps=100, workers=2)
    child = subprocess.Popen(
        [sys.executable, "-m", "training.collect", *words],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while not list(tmp_path.glob("*.zip")) and time.monotonic() < until:
        time.sleep(0.1)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal sends it: to every process
    _, told = child.communicate(timeout=60)
    assert child.returncode == 130 and "Traceback" not in told
    assert list(tmp_path.glob("*.zip")) and not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["polcy=explore"], "did you mean 'policy'?"),
        (["env=mars"], "expected env=blocks, labmaze, luanti, doom or gym:ENV_ID, found env=mars"),
        (["policy=wander"], "expected policy=explore, needle, mixed"),
        (["episodes=many"], "could not be converted to Integer"),
        (["steps=0"], "expected steps of at least 1"),
        (["size=100000"], "expected a size from 8 to 1024"),
        (["seconds=nan"], "expected seconds of 0 or more"),
        (["seconds=-1"], "expected seconds of 0 or more"),
        (["hello"], "expected key=value, found 'hello'"),
    ],
)
def test_a_wrong_word_is_one_sentence_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert collect.main([*_words(tmp_path / "data"), *words]) == 2
    told = capsys.readouterr().err.strip()
    assert sentence in told and len(told.splitlines()) == 1
    assert not (tmp_path / "data").exists()


def test_what_is_required_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert collect.main(["env=blocks"]) == 2
    assert "out=... is required" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert collect.main(_words(tmp_path / "file" / "data")) == 2
    assert "file" in capsys.readouterr().err


def test_the_benchmark_of_the_worlds_ends_in_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["envs", "size=16", "steps=50", "repeats=1"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["benchmark"] == "envs" and report["hardware"]
    assert set(report["frames_per_second"]) == {"blocks", "labmaze"}


def test_an_unknown_benchmark_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["nothing"]) == 2
    assert "expected a benchmark of envs" in capsys.readouterr().err


def test_what_another_process_records_is_not_thrown_away(tmp_path: Path) -> None:
    config = collect.CollectConfig(env="labmaze", out=str(tmp_path), episodes=1, steps=3, size=32, workers=1)
    meta = {"action_spec": spec(space("dmlab"), "dmlab")}
    EpisodeWriter(tmp_path, collect.Job(config, 0).name, meta).close()  # of a crash: played again
    living = EpisodeWriter(tmp_path / "other", collect.Job(config, 0).name, meta)
    assert collect.collect(config) == (1, 0)
    with pytest.raises(ValueError, match="being recorded by another process"):
        collect.collect(replace(config, out=str(tmp_path / "other")))
    assert living.folder.is_dir()


def test_no_episode_begins_after_its_time_but_there_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = _words(tmp_path, episodes=50, steps=5, seconds=1e-6)
    assert collect.main(words) == 0
    assert "1 episodes recorded, 0 were there already" in capsys.readouterr().out
    assert collect.main(words) == 0
    assert len(list(tmp_path.glob("*.zip"))) == 2


def test_what_is_there_of_another_size_is_no_part_of_what_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert collect.main(_words(tmp_path, episodes=1, steps=3)) == 0
    assert collect.main([*_words(tmp_path, episodes=2, steps=3), "size=24"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert "size=16, and size=24 is asked for" in line
    assert len(list(tmp_path.glob("*.zip"))) == 1


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="asks Linux which processes there are")
def test_a_first_process_that_is_killed_takes_the_others_with_it(tmp_path: Path) -> None:
    words = _words(tmp_path, episodes=500, steps=300, workers=2)
    done = subprocess.Popen(
        [sys.executable, "-m", "training.collect", *words], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    children = Path(f"/proc/{done.pid}/task/{done.pid}/children")
    until = time.monotonic() + 120
    while not list(tmp_path.glob("*.zip")) and time.monotonic() < until:
        time.sleep(0.1)
    others = [int(pid) for pid in children.read_text().split()]
    assert len(others) >= 2
    done.kill()
    done.wait()
    while any(_runs(pid) for pid in others) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(_runs(pid) for pid in others)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
