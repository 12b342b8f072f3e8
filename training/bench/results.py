"""One JSON with everything: every number of every episode, what they come to, and, apart, what changes by the run."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from training.bench import stretches
from training.bench.models import TRUTH
from training.bench.run import Outcome
from training.bench.suite import TASKS, Suite
from training.bench.work import Job
from worldsim.metrics.bootstrap import interval
from worldsim.runtime import hardware

FORMAT = 1
FILE = "bench.json"
HIGHER = {
    **dict.fromkeys(
        ("ssim", "psnr", "srr", "smoothness", "steadiness", "precision", "coverage", "turn", "move"), True
    ),
    **dict.fromkeys(("lpips", "fd", "turn error", "step error"), False),
}
"""Metrics, and whether more of each is better."""


def metric(key: str) -> str:
    """The metric of a key, ``METRIC GROUP``."""
    return max((m for m in HIGHER if key == m or key.startswith(f"{m} ")), key=len)


def collected(suite: Suite, jobs: list[Job], outcomes: list[Outcome], seconds: float) -> dict[str, Any]:
    """The results of a bench, from the files of its episodes.

    ``times`` alone holds what two runs of the same have different: seconds, memory, the date, the machine.
    """
    units = {job.model.label: _units(job, outcome) for job, outcome in zip(jobs, outcomes, strict=True)}
    scripts = {script.id: script for script in suite.scripts}
    reference = _reference(units.get(TRUTH, {}), scripts)
    models: dict[str, Any] = {}
    times: dict[str, Any] = {}
    for job, outcome in zip(jobs, outcomes, strict=True):
        label = job.model.label
        episodes = {i: dict(unit["values"]) for i, unit in units[label].items()}
        summary = _summary(episodes, scripts)
        _free(label, units[label], scripts, reference, episodes, summary)
        models[label] = {
            "summary": summary,
            "episodes": {i: episodes[i] for i in scripts if i in episodes},
            "words": {i: units[label][i]["words"] for i in scripts if i in episodes},
            "errors": outcome.errors,
            "why": outcome.why(label),
            "tracebacks": outcome.tracebacks,
            "skipped": {i: t.why for i, t in outcome.described.items() if t.what == "skipped"},
            "unmeasured": [i for i, t in outcome.described.items() if t.what == "budget"],
            "parameters": next((u["times"].get("parameters") for u in units[label].values()), None),
        }
        kept = sum(t.what == "kept" for t in outcome.described.values())
        times[label] = _times(units[label]) | {"kept": kept}
    config = jobs[0].config
    every = [(i, u) for of in units.values() for i, u in of.items()]
    return {
        "format": FORMAT,
        "suite": {"name": suite.name, "version": suite.version, "digest": suite.digest, "size": suite.size},
        "settings": {"seed": config.seed, "worlds": config.worlds, "tasks": config.tasks},
        "networks": next((u["networks"] for _, u in every if u.get("networks")), {}),
        "truth": {
            "repeats": all(u["truth"]["same"] for _, u in every),
            "differs": sorted({i for i, u in every if not u["truth"]["same"]}),
            "origins": sorted({u["truth"]["origin"] for _, u in every if u["truth"]["origin"]}),
        },
        "complete": not any(m["unmeasured"] for m in models.values()),
        "models": models,
        "times": {
            "seconds": round(seconds, 1),
            "date": time.strftime("%Y-%m-%d %H:%M"),
            "hardware": hardware(config.device if config.device != "auto" else "cpu"),
            "threads": config.threads,
            "models": times,
        },
    }


def score(s: dict[str, Any]) -> str:
    """A mean with its interval, where more than one episode tells of one."""
    between = f" [{s['low']:.3f}, {s['high']:.3f}]" if s["episodes"] > 1 else ""
    return f"{s['mean']:.3f}{between} n={s['n']}"


def better(s: dict[str, Any]) -> str:
    """A paired difference in the same way."""
    return f"{s['mean']:+.4f}" + (f" [{s['low']:+.4f}, {s['high']:+.4f}]" if s["episodes"] > 1 else "")


def skipped(of: dict[str, Any], suite: Suite) -> list[str]:
    """A line for every reason why a model was not measured somewhere."""
    worlds = {script.id: script.world for script in suite.scripts}
    counts = Counter((worlds[i], why) for i, why in of["skipped"].items())
    return [f"{counted(n)} of {world} not measured: {why}" for (world, why), n in counts.items()]


def counted(n: int) -> str:
    """So many episodes, in words."""
    return f"{n} episode{'s' if n != 1 else ''}"


def text(found: dict[str, Any], suite: Suite) -> str:
    """The numbers of every model, a line a task and metric, and what of them is not there."""
    lines = []
    for label, of in found["models"].items():
        times = found["times"]["models"].get(label, {})
        speed = (
            f"{times['frame_ms_p50']:g} ms a frame, {times['memory_mib']:g} MiB"
            if "frame_ms_p50" in times
            else ""
        )
        if times.get("kept"):
            kept = f"{times['kept']} of {len(of['episodes'])} episodes kept from before"
            speed = f"{speed}, {kept}" if speed else kept
        lines.append(f"{label}  {speed}".rstrip())
        for world, tasks in of["summary"].items():
            for task, keys in tasks.items():
                for key, s in keys.items():
                    lines.append(f"  {world:8s} {task:8s} {key:18s} {score(s)} of {counted(s['episodes'])}")
        lines += [f"  {why}" for why in skipped(of, suite)]
    if not found["truth"]["repeats"]:
        described = ", ".join(found["truth"]["differs"][:3])
        lines.append(
            f"the true frames of {described} are not those of the suite on this machine: compare within it only"
        )
    if not found["complete"]:
        lines.append("not complete: the time was up; the same command goes on")
    return "\n".join(lines)


def write(found: dict[str, Any], folder: Path) -> Path:
    """Write the JSON, at once or not at all."""
    path = folder / FILE
    part = path.with_name(f".{FILE}.part")
    part.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    part.replace(path)
    return path


def _units(job: Job, outcome: Outcome) -> dict[str, dict[str, Any]]:
    there = [i for i, t in outcome.described.items() if t.what in ("measured", "kept")]
    return {i: json.loads((job.units / f"{i}.json").read_text("utf-8")) for i in there}


def _summary(episodes: dict[str, dict[str, list[float]]], scripts: dict[str, Any]) -> dict[str, Any]:
    """Mean and 95% interval of every key, by world and task."""
    groups: dict[tuple[str, str, str], list[list[float]]] = defaultdict(list)
    for i, values in episodes.items():
        for key, numbers in values.items():
            groups[scripts[i].world, scripts[i].task, key].append(numbers)
    found: dict[str, Any] = {}
    for world in dict.fromkeys(scripts[i].world for i in episodes):
        for task in TASKS:
            keys = [k for w, t, k in groups if (w, t) == (world, task)]
            if keys:
                of = {k: interval(groups[world, task, k]) for k in sorted(keys, key=_order)}
                found.setdefault(world, {})[task] = of
    return found


def _order(key: str) -> tuple[Any, ...]:
    """Keys by metric, then by the numbers in them."""
    name = metric(key)
    rest = key.removeprefix(name).strip()
    digits = [int(p) for p in rest.replace("-", " ").split() if p.isdigit()]
    return list(HIGHER).index(name), [w for w in rest.split() if not w[0].isdigit()], digits


def _reference(units: dict[str, Any], scripts: dict[str, Any]) -> dict[str, list[Any]]:
    """Features of the true episodes of free running, by world."""
    found: dict[str, list[Any]] = defaultdict(list)
    for i, unit in units.items():
        if scripts[i].task == "free" and unit["features"] is not None:
            found[scripts[i].world].append(np.asarray(unit["features"]))
    return found


def _free(
    label: str,
    units: dict[str, Any],
    scripts: dict[str, Any],
    reference: dict[str, list[Any]],
    episodes: dict[str, dict[str, list[float]]],
    summary: dict[str, Any],
) -> None:
    """Add what sets of free-running episodes score; of the truth, what another true world does under these actions."""
    which = "elsewhere" if label == TRUTH else "features"
    for world, true in reference.items():
        mine = {
            i: np.asarray(u[which])
            for i, u in units.items()
            if scripts[i].world == world and scripts[i].task == "free" and u.get(which) is not None
        }
        found = stretches.scores(mine, true)
        if found["summary"]:
            summary.setdefault(world, {}).setdefault("free", {}).update(found["summary"])
            for i, values in found["values"].items():
                episodes[i].update(values)


def _times(units: dict[str, Any]) -> dict[str, Any]:
    ms = [m for unit in units.values() for m in unit["times"].get("frame_ms", [])]
    peaks = [
        u["times"]["peak_mib"] - u["times"]["base_mib"] for u in units.values() if "peak_mib" in u["times"]
    ]
    found: dict[str, Any] = {"seconds": round(sum(u["times"]["seconds"] for u in units.values()), 1)}
    if ms:
        found |= {f"frame_ms_p{q}": round(float(np.percentile(ms, q)), 2) for q in (50, 95)} | {
            "frames": len(ms)
        }
    return found | ({"memory_mib": round(max(peaks), 1)} if peaks else {})
