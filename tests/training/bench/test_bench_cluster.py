"""A bench on a cluster: some episodes a task, every one of every model once, and one whose workers die is told of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from training.bench import run as runs
from training.bench.config import Config
from training.bench.models import parse
from training.bench.run import SOME, Outcome, run_all
from training.bench.suite import Suite, find
from training.bench.work import Job, Report
from training.loop.cluster import Cluster, ClusterError, Place, _Here

MODELS = (parse("labmaze"), parse("blocks"))


def _asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **words: object
) -> tuple[list[Job], Suite, list[int]]:
    """The jobs of two models; how many episodes each task had, as they are begun."""
    begun: list[int] = []

    def run(job: Job, suite: Suite) -> Outcome:
        ids = [script.id for script in job.scripts(suite)]
        begun.append(len(ids))
        return Outcome({id_: Report(id_, "measured") for id_ in ids})

    @contextmanager
    def here(place: Place) -> Iterator[Cluster]:
        assert place.cluster == "auto"
        yield Cluster(_Here())

    monkeypatch.setattr(runs, "run", run)
    monkeypatch.setattr(runs, "started", here)
    config = Config(suite="small", cluster="auto", device="cpu", **words)  # type: ignore[arg-type]
    return [Job(model, config, tmp_path) for model in MODELS], find("small"), begun


def test_every_episode_of_every_model_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, suite, begun = _asked(tmp_path, monkeypatch)
    outcomes = run_all(jobs, suite)
    wanted = [[script.id for script in job.scripts(suite)] for job in jobs]
    assert [sorted(outcome.described) for outcome in outcomes] == [sorted(ids) for ids in wanted]
    assert all(told.what == "measured" for outcome in outcomes for told in outcome.described.values())
    assert sum(begun) == sum(map(len, wanted)) and max(begun) <= SOME < sum(begun)


def test_when_the_time_is_up_the_rest_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, suite, begun = _asked(tmp_path, monkeypatch, minutes=1e-9)
    outcomes = run_all(jobs, suite)
    assert not begun
    assert {told.what for outcome in outcomes for told in outcome.described.values()} == {"budget"}


def test_a_part_that_no_worker_survives_is_an_error_of_its_episodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, suite, _ = _asked(tmp_path, monkeypatch)
    first, measured = jobs[0].scripts(suite)[0].id, runs.run

    def dies(job: Job, suite: Suite) -> Outcome:
        if first in job.only and job.model.label == "labmaze":
            raise ClusterError("4 workers died of it")
        return measured(job, suite)

    monkeypatch.setattr(runs, "run", dies)
    lost, model = run_all(jobs, suite)
    assert lost.described[first].what == "error" and "4 workers died" in lost.described[first].why
    assert {told.what for told in model.described.values()} == {"measured"}
