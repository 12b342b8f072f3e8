"""Everything that one model does in a bench: its episodes one after the other, each kept as soon as it is known."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from envs.adapters.engine_missing import EngineMissing
from training.bench.config import Config
from training.bench.dependencies import Dependencies, note
from training.bench.failures import sentence, trace
from training.bench.models import (
    TRUTH,
    Model,
    dream_of,
    fingerprint,
    module_of,
    parameters,
    source_of,
    speaks,
)
from training.bench.suite import Script, Suite, find
from training.bench.tasks import free
from training.bench.tasks.measured import Measured, Tools
from training.bench.tasks.registry import MEASURES
from training.bench.tasks.registry import TRUTH as OF_TRUTH
from training.bench.truth import Truth, Worlds
from training.bench.watch import Deadline, Watched
from training.evaluation.scores import networks
from worldsim.actions import ActionSpecMismatch
from worldsim.dream.env import Dream
from worldsim.runtime import pick_device, use_threads

UNIT = 2
"""The format of one episode's file; another one is measured again."""
GIVE_UP = 3
"""Episodes after which a model that has given no number is left."""


@dataclass(frozen=True)
class Job:
    """What one model is asked: these episodes of a suite, within so many seconds (0: no limit).

    ``only`` are the ids of those that one process is given, all of them where it is empty.
    """

    model: Model
    config: Config
    folder: Path
    seconds: float = 0.0
    only: tuple[str, ...] = ()

    @property
    def units(self) -> Path:
        """Where its episodes are kept."""
        return self.folder / "units" / self.model.slug

    def scripts(self, suite: Suite) -> list[Script]:
        """The episodes that it is asked, in the order of the suite, first ones of all tasks first."""
        c = self.config
        return [
            s
            for s in suite.scripts
            if (not self.only or s.id in self.only)
            and (not c.worlds or s.world in c.worlds)
            and (not c.tasks or s.task in c.tasks)
            and (self.model.label != TRUTH or s.task in OF_TRUTH)
        ]


@dataclass
class Report:
    """What is said of one episode: measured, kept, error, skipped, or budget; why, in a sentence, and the end of a
    model's traceback."""

    id: str
    what: str
    why: str = ""
    trace: str = ""


@dataclass
class Worker:
    """A model at work; :meth:`run` gives what is to be said, as it happens."""

    job: Job
    deadline: Deadline
    _dreams: dict[str, Dream[Any] | str] = field(default_factory=dict)
    _mark: str = ""
    _depends: Dependencies = field(default_factory=Dependencies)

    def run(self) -> Iterator[Report]:
        """Measure what is not there yet.

        Raises:
            whatever a model raises that cannot even be found or loaded.
        """
        config = self.job.config
        use_threads(config.threads)
        suite, began = find(config.suite), time.monotonic()
        self._before = _peak_mib()
        device = pick_device(config.device)
        self._source = None
        eyes = networks(config.perceptual, device)
        said = f"{UNIT} {config.seed} {config.threads} {sorted(eyes.origin.items()) if eyes else ''}"
        if self.job.model.label != TRUTH:
            with self._loading():
                self._source = source_of(self.job.model, device)
            self._depends.module = module_of(self._source)
            self._found()  # as it was loaded, whatever is edited meanwhile
            said += f" {fingerprint(self._source)} {self.job.model.label}"
        self._mark = said
        self.job.units.mkdir(parents=True, exist_ok=True)
        failed = 0
        with Worlds(suite.size) as worlds:
            tools = Tools(worlds, eyes, config.seed)
            for script in self.job.scripts(suite):
                if self._kept(suite, script):
                    yield Report(script.id, "kept")
                    continue
                if self.job.seconds and time.monotonic() - began > self.job.seconds:
                    yield Report(script.id, "budget", "no time was left")
                    continue
                if failed >= GIVE_UP:
                    yield Report(script.id, "error", "left out, after it failed as often before")
                    continue
                described = self._measure(suite, script, tools)
                failed = failed + 1 if described.what == "error" else 0
                yield described

    def _measure(self, suite: Suite, script: Script, tools: Tools) -> Report:
        began = time.monotonic()
        try:
            spec = tools.worlds.spec(script.world)
            dream = self._dream(script.world, spec, suite.size)
            if isinstance(dream, str):
                return Report(script.id, "skipped", dream)
            truth = tools.worlds.play(suite, script)
            found = MEASURES[script.task](dream, truth, tools)
            about: dict[str, Any] = {"mark": self._of(suite, script), "depends": self._found()}
            if self._wants_elsewhere(script):
                about["elsewhere"] = _features(free.elsewhere(truth, tools))
            self._write(script, truth, found, tools, dream, time.monotonic() - began, about)
        except EngineMissing as error:
            return Report(script.id, "skipped", str(error))
        except Exception as error:
            return Report(script.id, "error", sentence(error), trace(error))
        return Report(script.id, "measured")

    def _wants_elsewhere(self, script: Script) -> bool:
        return self.job.model.label == TRUTH and script.task == "free" and script.world != "luanti"

    def _dream(self, world: str, spec: Any, size: int) -> Dream[Any] | str | None:
        """The dream that plays a world; a sentence where it speaks other actions; None for the truth."""
        if self._source is None:
            return None
        if world not in self._dreams:
            found: Dream[Any] | str = f"its actions are not those of {world}"
            if speaks(self._source, spec):
                with suppress(ActionSpecMismatch), self._loading():
                    found = dream_of(self.job.model, self._source, spec, size)
                    found.predictor = Watched(found.predictor, self.job.config.frame_seconds, self._calling)
                    if self.job.model.settings.get("history") == "window" and len(set(found.histories)) == 1:
                        found = f"it has one history, {found.window} frames, and no twin that forgets more"
                self._found()
            self._dreams[world] = found
        return self._dreams[world]

    def _kept(self, suite: Suite, script: Script) -> bool:
        try:
            described = json.loads((self.job.units / f"{script.id}.json").read_text("utf-8"))
        except (OSError, ValueError):
            return False
        same = described.get("mark") == self._of(suite, script)
        return bool(same and self._depends.same(described.get("depends")))

    @contextmanager
    def _loading(self) -> Iterator[None]:
        self._calling(self.job.config.load_seconds)
        try:
            yield
        finally:
            self._calling(0.0)

    def _calling(self, seconds: float) -> None:
        """The model is called, and is to be back in so many seconds; or, by 0, it is back."""
        note(seconds > 0)
        self.deadline(seconds)

    def _found(self) -> dict[str, str]:
        """What the numbers of a model that is not ours depend on."""
        return self._depends.found() if self._source is not None and self._source.factory else {}

    def _of(self, suite: Suite, script: Script) -> str:
        """What has to be the same for an episode's numbers to be so."""
        return f"{suite.mark(script)} {self._mark}"

    def _write(
        self,
        script: Script,
        truth: Truth,
        found: Measured,
        tools: Tools,
        dream: Dream[Any] | None,
        seconds: float,
        more: dict[str, Any],
    ) -> None:
        """Keep an episode: pictures first, and then, at once or not at all, the file that says it is there."""
        place = self.job.units / script.id
        times: dict[str, Any] = {"seconds": round(seconds, 2)}
        if dream is not None:
            watched: Any = dream.predictor
            times |= {"frame_ms": [round(ms, 2) for ms in watched.ms], "peak_mib": _peak_mib()}
            times |= {"base_mib": self._before, "parameters": self._parameters(dream)}
            watched.ms = []
        if found.strip is not None:
            rows = [np.concatenate(list(r), 1) for r in (found.strip.true, found.strip.dreamt)]
            _whole(
                place.with_suffix(".png"),
                lambda p: Image.fromarray(np.concatenate(rows)).save(p, format="PNG"),
            )
        same = not script.digest or script.digest == truth.digest
        unit = {
            "values": found.values,
            "networks": tools.networks.origin if tools.networks else {},
            "features": _features(found),
            "words": found.strip.words if found.strip else [],
            "truth": {"digest": truth.digest, "same": same, "origin": truth.origin},
            "times": times,
            **more,
        }
        _whole(place.with_suffix(".json"), lambda p: p.write_text(json.dumps(unit), "utf-8"))

    def _parameters(self, dream: Dream[Any]) -> int | None:
        assert self._source is not None
        return parameters(self._source, dream)


def _features(found: Measured) -> list[list[list[float]]] | None:
    return None if found.features is None else np.round(found.features, 4).tolist()


def _whole(path: Path, write: Callable[[Path], Any]) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    write(part)
    part.replace(path)


def _peak_mib() -> float:
    """The most memory that this process had so far."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(most / (2**20 if sys.platform == "darwin" else 2**10), 1)
