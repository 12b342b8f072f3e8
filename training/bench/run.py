"""A bench from above: a process for every model, ended where it hangs; what happened is said as it happens."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any

from tqdm import tqdm

from training.bench.failures import sentence, trace
from training.bench.models import TRUTH
from training.bench.suite import Suite
from training.bench.watch import late
from training.bench.work import Job, Report, Worker
from training.loop.cluster import LOCAL, ClusterError, Place, Task, started
from worldsim.runtime import pick_device

POLL = 0.2  # seconds
SOME = 4
"""Episodes of a task on a cluster: a model is loaded once for them."""


@dataclass
class Outcome:
    """How a model fared: what is said of every episode, and, where all of it broke, one sentence and a traceback."""

    described: dict[str, Report] = field(default_factory=dict)
    broke: str = ""
    trace: str = ""

    @property
    def errors(self) -> dict[str, str]:
        """Sentences by episode."""
        return {id_: t.why for id_, t in self.described.items() if t.what == "error"}

    @property
    def tracebacks(self) -> dict[str, str]:
        """The different ones, each by the first episode that it is of; by ``model`` where that did not load."""
        found = {t.trace: id_ for id_, t in reversed(self.described.items())} | {self.trace: "model"}
        return {id_: text for text, id_ in reversed(found.items()) if text}

    def why(self, model: str) -> str:
        """One sentence that names a model which gave not all that it was asked for; empty where it did."""
        if self.broke:
            return _named(model, self.broke)
        if not self.errors:
            return ""
        first = next(iter(self.errors.values()))
        count = f" ({len(self.errors)} of {len(self.described)} episodes)"
        return _named(model, first) + count


def run(job: Job, suite: Suite) -> Outcome:
    """Let a model do its job; it never raises what a model did, but for Ctrl-C."""
    outcome = Outcome()
    ids = [script.id for script in job.scripts(suite)]
    with tqdm(total=len(ids), desc=job.model.label, unit="episode", file=sys.stderr) as bar:
        for described in (_apart if job.config.isolate else _here)(job, outcome):
            outcome.described[described.id] = described
            bar.update()
    for missing in ids:
        if missing not in outcome.described:
            outcome.described[missing] = Report(missing, "error", outcome.broke or "left out")
    return outcome


def run_all(jobs: list[Job], suite: Suite) -> list[Outcome]:
    """:func:`run` of every model: one after the other, or some episodes a task on a Ray cluster."""
    config = jobs[0].config
    if config.cluster == LOCAL:
        return [run(job, suite) for job in jobs]
    outcomes, began = [Outcome() for _ in jobs], time.monotonic()

    def begun() -> Iterator[Task]:
        for i, job in enumerate(jobs):
            ids = [script.id for script in job.scripts(suite)]
            for first in range(0, len(ids), SOME):
                if config.minutes and time.monotonic() - began > config.minutes * 60:
                    return
                part = replace(job, only=tuple(ids[first : first + SOME]))
                yield Task(f"{job.model.slug} {ids[first]}", part_of, (i, part, suite))

    why = "" if not config.minutes else "no time was left"
    gpus = 1.0 if pick_device(config.device).type == "cuda" else 0.0
    total = sum(-(-len(job.scripts(suite)) // SOME) for job in jobs)
    with (
        tqdm(total=total, desc=suite.label, unit="part", file=sys.stderr) as bar,
        started(Place(config.cluster, gpus=gpus)) as cluster,
    ):
        try:
            for _, (i, outcome) in cluster.run(begun()):
                outcomes[i].described |= outcome.described
                if outcome.broke and not outcomes[i].broke:
                    outcomes[i].broke, outcomes[i].trace = outcome.broke, outcome.trace
                bar.update()
        except ClusterError as error:
            why = str(error)
    for job, outcome in zip(jobs, outcomes, strict=True):
        for script in job.scripts(suite):
            lost = Report(script.id, "budget" if why == "no time was left" else "error", why or "left out")
            outcome.described.setdefault(script.id, lost)
    return outcomes


def part_of(index: int, job: Job, suite: Suite) -> tuple[int, Outcome]:
    """What one task does; ``index`` is handed back."""
    return index, run(job, suite)


def _here(job: Job, outcome: Outcome) -> Iterator[Report]:
    try:
        yield from Worker(job, lambda seconds: None).run()
    except Exception as error:
        outcome.broke, outcome.trace = sentence(error), trace(error)


def _apart(job: Job, outcome: Outcome) -> Iterator[Report]:
    """In a process of its own, which is ended when a call of the model is not back in time."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    ends = context.Array("d", 2, lock=False)  # by when a call has to be back, and how long that allows
    process = context.Process(target=_child, args=(job, theirs, ends), daemon=True)
    process.start()
    theirs.close()
    try:
        while True:
            if ours.poll(POLL):
                report: Report = ours.recv()
                if report.id:
                    yield report
                    continue
                outcome.broke, outcome.trace = report.why, report.trace
                return
            if 0 < ends[0] < time.monotonic():
                outcome.broke = _late(job, ends[1])
                return
            if not process.is_alive() and not ours.poll():
                outcome.broke = f"its process ended with code {process.exitcode}"
                return
    except EOFError:
        process.join(5)
        outcome.broke = f"its process ended with code {process.exitcode}"
    finally:
        if process.is_alive():
            process.terminate()
            process.join(5)
            if process.is_alive():
                process.kill()
        ours.close()


def _late(job: Job, seconds: float) -> str:
    if seconds == job.config.load_seconds:
        return late(seconds, "to load", "load_seconds")
    return late(
        seconds, "for one frame" if seconds == job.config.frame_seconds else "to begin or be corrected"
    )


def _child(job: Job, pipe: Connection, ends: Any) -> None:
    def deadline(seconds: float) -> None:
        ends[1] = seconds
        ends[0] = time.monotonic() + seconds if seconds else 0.0

    _guarded(job, pipe.send, deadline)
    pipe.close()


def _guarded(job: Job, send: Callable[[Any], None], deadline: Callable[[float], None]) -> None:
    try:
        for described in Worker(job, deadline).run():
            send(described)
        send(Report("", "done"))
    except KeyboardInterrupt:
        pass
    except Exception as error:
        send(Report("", "error", sentence(error), trace(error)))


def _named(model: str, why: str) -> str:
    return why if model == TRUTH or model.partition(",")[0] in why else f"{model}: {why}"
