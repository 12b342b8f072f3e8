"""Tasks: the same wherever they run, each made once, begun again where a worker dies, failures told at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import many_machines
from tests.helpers.small_model import small_checkpoint
from tests.helpers.small_tasks import fail, held, make
from training import collect
from training.convert.__main__ import main as convert
from training.loop import cluster
from training.loop.cluster import HERE, ClusterError, Place, Task, started

ROOT = Path(__file__).parents[3]
TWO = Place(workers=2)


@pytest.mark.parametrize("place", [HERE, TWO])
def test_every_task_is_made_once_and_of_two_with_one_name_one_is(tmp_path: Path, place: Place) -> None:
    tasks = [Task(f"t{i % 5}", make, (str(tmp_path), f"t{i % 5}")) for i in range(8)]
    with started(place) as running:
        assert sorted(task.name for task, _ in running.run(tasks)) == [f"t{i}" for i in range(5)]
        assert list(running.run([])) == []
    assert [(tmp_path / f"t{i}").read_text() for i in range(5)] == ["made\n"] * 5


def test_a_worker_that_is_killed_costs_its_own_task_which_is_begun_again(tmp_path: Path) -> None:
    tasks = [Task(f"t{i}", make, (str(tmp_path), f"t{i}", 2 if i == 3 else 0)) for i in range(6)]
    with started(TWO) as running:
        assert len(list(running.run(tasks))) == 6
    assert [(tmp_path / f"t{i}").read_text() for i in range(6)] == ["made\n"] * 6
    assert [(tmp_path / f"t{i}.begun").stat().st_size for i in range(6)] == [1, 1, 1, 3, 1, 1]


def test_what_no_worker_survives_is_given_up_and_told_when_the_rest_is_done(tmp_path: Path) -> None:
    tasks = [Task(f"t{i}", make, (str(tmp_path), f"t{i}", 99 if i == 0 else 0)) for i in range(3)]
    with started(TWO) as running, pytest.raises(ClusterError, match="t0: 4 workers died of it"):
        list(running.run(tasks))
    assert (tmp_path / "t1").exists() and (tmp_path / "t2").exists() and not (tmp_path / "t0").exists()


@pytest.mark.parametrize("place", [HERE, TWO])
def test_failures_are_told_at_the_end_and_the_first_is_raised(
    tmp_path: Path, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = [Task(name, fail, (name,)) for name in ("a", "b")]
    good = [Task(f"t{i}", make, (str(tmp_path), f"t{i}")) for i in range(2)]
    with started(place) as running, pytest.raises(ValueError, match=r"^no [ab]$"):
        assert len(list(running.run([bad[0], good[0], bad[1], good[1]]))) == 2
    assert (tmp_path / "t0").exists() and (tmp_path / "t1").exists()
    assert capsys.readouterr().err.startswith("failed: ")


def test_after_many_failures_in_a_row_nothing_more_is_begun(capsys: pytest.CaptureFixture[str]) -> None:
    taken: list[int] = []
    tasks = (Task(str(i), fail, (taken.append(i) or str(i),)) for i in range(100))  # type: ignore[func-returns-value]
    with started(HERE) as running, pytest.raises(ValueError, match=r"^no 0$"):
        list(running.run(tasks))
    assert len(taken) == cluster.GIVE_UP
    assert "given up after 8 failures in a row" in capsys.readouterr().err


def test_what_another_process_holds_is_waited_for(tmp_path: Path) -> None:
    with started(TWO) as running:
        assert [value for _, value in running.run([Task("h", held, (str(tmp_path),))])] == ["made"]
    assert (tmp_path / "tries").read_text() == "xxx"


def test_a_pools_processes_count_one_thread_and_this_one_what_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba refuses to compile anything in a process whose number of threads is set anew once they run."""
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    with started(TWO) as running:
        assert [value for _, value in running.run([Task("e", os.getenv, ("NUMBA_NUM_THREADS",))])] == ["1"]
    assert "NUMBA_NUM_THREADS" not in os.environ


def test_tasks_apart_have_a_process_each(tmp_path: Path) -> None:
    tasks = [Task(f"t{i}", make, (str(tmp_path), f"t{i}")) for i in range(3)]
    with started(Place(apart=True)) as running:
        assert len({pid for _, pid in running.run(tasks)} | {os.getpid()}) == 4


@pytest.mark.parametrize("word", ["rays://a:1", "ray://", "somewhere", "host:port", ""])
def test_a_wrong_word_is_one_sentence(word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert collect.main(["env=labmaze", f"out={tmp_path / 'a'}", f"cluster={word}"]) == 2
    assert "expected cluster=local, auto, ray://HOST:PORT or HOST:PORT" in capsys.readouterr().err
    assert convert([str(tmp_path), str(tmp_path / "b"), "--to", "teco", "--cluster", word or "x"]) == 2


def test_formats_that_number_episodes_are_written_by_one_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.zip").write_bytes(b"")
    assert convert([str(tmp_path), str(tmp_path / "b"), "--to", "lerobot", "--workers", "2"]) == 2
    assert "leave --workers and --cluster out" in capsys.readouterr().err


def test_without_ray_it_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert collect.main(["env=labmaze", f"out={tmp_path}", "episodes=1", "cluster=auto"]) == 2
    told = capsys.readouterr().err
    assert "cluster=auto needs Ray, which is not here" in told and "pip install 'ray[client]'" in told


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="asks Linux which processes there are")
def test_two_processes_of_which_one_is_killed_make_the_bytes_of_one(tmp_path: Path) -> None:
    config = many_machines.ManyMachinesConfig(episodes=6, steps=10, needle=2)
    model = small_checkpoint(tmp_path / "model")
    many_machines.play(tmp_path / "one", model, config, many_machines.Site(HERE))
    site = many_machines.Site(TWO, (many_machines.kill_worker_of_pool,) * 3)
    many_machines.play(tmp_path / "two", model, config, site)
    assert many_machines.differing(tmp_path / "one", tmp_path / "two") == []
    assert len(list((tmp_path / "two/data").glob("*.zip"))) == 6
    assert not (tmp_path / "two/scores.json.episodes").exists()


def test_an_evaluation_that_was_ended_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    """Episodes that are kept are not played again: what is kept of them is believed."""
    from training.evaluation import task

    model, data = small_checkpoint(tmp_path / "model"), tmp_path / "data"
    assert (
        collect.main(["env=blocks", "size=32", "steps=10", "episodes=1", "policy=random", f"out={data}"]) == 0
    )
    files = [str(path) for path in data.glob("*.zip")]
    words = {"context": 4, "farthest": 4, "budget": 4, "denoising_steps": 1, "perceptual": "false"}
    asked = task.Config(checkpoint=str(model), threads=1, **words)  # type: ignore[arg-type]
    part = task.Part(task.AHEAD, asked, files[0], files[0], 0, str(tmp_path / "kept"), "mark")
    row = task.play(part)
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept.stem == part.name and task.play(part) == row
    found = json.loads(kept.read_text())
    found[0][2][0] = 0.125
    kept.write_text(json.dumps(found))
    assert next(iter(task.play(part).values()))[0] == 0.125
    task.forget()


def test_a_ray_cluster_that_loses_a_machine_makes_the_bytes_of_one_process(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra ray: pip install 'ray[client]'")
    code = "import sys; from tests.many_machines import main; sys.exit(main())"
    began = time.monotonic()
    words = ["episodes=6", "steps=10", "nodes=3", "needle=2"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    if done.returncode == 2 and "Ray did not begin" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("killed") == 3, done.stdout
    assert '"differ": 0' in done.stdout.splitlines()[-1]
    print(f"{time.monotonic() - began:.0f} s")
