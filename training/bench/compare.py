"""Two models on the same episodes: paired differences with intervals, the worst episodes first, PASS or FAIL.

A number fails where it is worse on average by more than its tolerance and the 95% interval of the paired differences,
drawn over episodes, has no place for none.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.bench.config import Tolerance
from training.bench.results import FILE, FORMAT, HIGHER, better, counted, metric
from training.bench.suite import Script, Suite
from worldsim.config import ConfigError
from worldsim.metrics.bootstrap import interval

SHOWN = 10
"""Episodes that got worse, in a text."""
LEAST = 1e-9
"""A tolerance of 0, where something is divided by it."""


@dataclass(frozen=True)
class Row:
    """One number: of both models, the paired difference towards better, and what a gate says of it."""

    world: str
    task: str
    key: str
    value: float
    reference: float
    better: dict[str, Any]
    tolerance: float

    @property
    def failed(self) -> bool:
        """Whether it got worse by more than is allowed, and not by chance."""
        return bool(not self.better["mean"] >= -self.tolerance and self.better["high"] < 0)

    def described(self) -> dict[str, Any]:
        """As JSON has it."""
        names = {"value": "mine", "reference": "theirs"}
        return {names.get(k, k): v for k, v in vars(self).items()} | {"failed": self.failed}


@dataclass(frozen=True)
class Comparison:
    """One against another. ``worst`` are (episode, key, value, reference, better), those that got worst first;
    ``missing`` are episodes that the other one alone has, and ``unasked`` says which of its were not asked for."""

    model: str
    against: str
    rows: list[Row]
    worst: list[tuple[str, str, float, float, float]]
    missing: list[str]
    unasked: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing failed, nothing that the other one has is missing, and something was compared."""
        return bool(self.rows) and not self.missing and not any(row.failed for row in self.rows)

    def described(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "against": self.against,
            "passed": self.passed,
            "rows": [row.described() for row in self.rows],
            "worst": [
                dict(zip(("episode", "key", "mine", "theirs", "better"), w, strict=True)) for w in self.worst
            ],
            "missing": self.missing,
            "unasked": self.unasked,
        }

    def text(self) -> str:
        """In lines: each number, then the episodes that got worse, then PASS or FAIL."""
        lines = [f"{self.model} against {self.against}"]
        if self.rows:
            heads = ("world", "task", "number", "mine", "other", "tolerance", "better by")
            lines.append("  {:8s} {:8s} {:16s} {:>9s} {:>9s} {:>9s}  {}".format(*heads))
        for row in self.rows:
            lines.append(
                f"  {row.world:8s} {row.task:8s} {row.key:16s} {row.value:9.4f} {row.reference:9.4f} "
                f"{row.tolerance:9g}  {better(row.better)} n={row.better['episodes']}"
                + (f"  FAIL, more than {row.tolerance:g} worse" if row.failed else "")
            )
        fell = [w for w in self.worst if w[4] < 0][:SHOWN]
        if fell:
            lines.append("  episodes that got worse, the worst first")
            lines += [f"    {i:28s} {key:16s} {a:.4f} from {b:.4f}" for i, key, a, b, _ in fell]
        if self.missing:
            count = f" and {len(self.missing) - 3} more" if len(self.missing) > 3 else ""
            lines.append(f"  not measured, though the other one was: {', '.join(self.missing[:3])}{count}")
        if self.unasked:
            lines.append(f"  not compared, since this command did not ask for them: {self.unasked}")
        if not self.rows:
            lines.append("  nothing to compare: no episode has numbers of both")
        return "\n".join([*lines, f"{'PASS' if self.passed else 'FAIL'} {self.model} against {self.against}"])


def compare(
    model: tuple[str, dict[str, Any]],
    against: tuple[str, dict[str, Any]],
    suite: Suite,
    tolerance: Tolerance,
    asked: list[Script],
) -> Comparison:
    """Compare the episodes of two models, (name, episodes of a bench.json), among those that were ``asked`` for."""
    scripts = {script.id: script for script in asked}
    (name, a), (other, b) = model, against
    pairs: dict[tuple[str, str, str], list[tuple[str, list[float], list[float]]]] = defaultdict(list)
    for i, script in scripts.items():
        for key, values in a.get(i, {}).items():
            before = b.get(i, {}).get(key)
            if before is not None and len(before) == len(values):
                pairs[script.world, script.task, key].append((i, values, before))
    rows, worst = [], []
    for (world, task, key), each in pairs.items():
        sign = 1.0 if HIGHER[metric(key)] else -1.0
        differences = [[sign * (x - y) for x, y in zip(v, w, strict=True)] for _, v, w in each]
        allowed = float(getattr(tolerance, metric(key).replace(" ", "_")))
        means = [[float(np.mean([x for e in each for x in e[k]]))][0] for k in (1, 2)]
        rows.append(
            Row(world, task, key, round(means[0], 4), round(means[1], 4), interval(differences), allowed)
        )
        for (i, v, w), difference in zip(each, differences, strict=True):
            by = float(np.mean(difference))
            worst.append((i, key, round(float(np.mean(v)), 4), round(float(np.mean(w)), 4), round(by, 4)))
    # In units of what is allowed, since metrics have different ones.
    worst.sort(key=lambda w: w[4] / max(LEAST, float(getattr(tolerance, metric(w[1]).replace(" ", "_")))))
    missing = [i for i in scripts if b.get(i) and not a.get(i)]
    return Comparison(name, other, rows, worst, missing, _unasked(suite, scripts, b))


def _unasked(suite: Suite, scripts: dict[str, Script], of: dict[str, Any]) -> str:
    """Which of these episodes were not asked for: how many of each world, and of what tasks."""
    tasks: dict[str, list[str]] = defaultdict(list)
    for script in suite.scripts:
        if of.get(script.id) and script.id not in scripts:
            tasks[script.world].append(script.task)
    return ", ".join(
        f"{counted(len(t))} of {world} ({', '.join(dict.fromkeys(t))})" for world, t in tasks.items()
    )


def is_file(against: str) -> bool:
    """Whether results are meant and no model: FILE.json, FILE.json:MODEL, or a folder that has some."""
    return against.endswith(".json") or ".json:" in against or (Path(against) / FILE).is_file()


def read(against: str, suite: Suite) -> dict[str, Any]:
    """The results in a bench.json, or in a folder that has one; of one model alone where ``:MODEL`` stands behind it.

    Raises:
        ConfigError: there are none, or they are of another suite, or of other models.
    """
    name, chosen, model = against.partition(".json:")
    path = Path(f"{name}.json" if chosen else against)
    found = _read(path / FILE if path.is_dir() else path, suite)
    if chosen:
        if model not in found["models"]:
            raise ConfigError(f"against: {path} has {', '.join(found['models'])}, and no {model}")
        found["models"] = {model: found["models"][model]}
    return found


def _read(path: Path, suite: Suite) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
        ok = found["format"] == FORMAT and isinstance(found["models"], dict)
    except FileNotFoundError:
        raise ConfigError(f"against: no results at {path}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"against: {path} holds no results of a bench: {error!r}") from None
    if not ok:
        raise ConfigError(f"against: {path} has format {found['format']}, this program reads {FORMAT}")
    if found["suite"]["digest"] != suite.digest:
        described = (
            f"{found['suite']['name']}-v{found['suite']['version']}, digest {found['suite']['digest']}"
        )
        raise ConfigError(
            f"against: {path} is of the suite {described}, not of {suite.label}, digest {suite.digest}"
        )
    return dict(found)


def counterpart(label: str, found: dict[str, Any], path: str) -> str:
    """Which model of these results another one is compared with: its namesake, or the only one.

    Raises:
        ConfigError: neither.
    """
    models = [name for name in found["models"] if name != "truth"]
    if label in models:
        return label
    if len(models) == 1:
        return models[0]
    raise ConfigError(
        f"against: {path} has {', '.join(models) or 'no models'}, none of which is called {label}; "
        "against=FILE.json:MODEL names one"
    )
