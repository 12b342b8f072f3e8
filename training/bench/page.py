"""One self-contained HTML page of a bench: numbers with intervals, plots and strips; nothing is fetched."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from training.bench.models import TRUTH
from training.bench.results import HIGHER, better, metric, score, skipped
from training.bench.suite import Suite
from training.bench.tasks.registry import TITLES
from training.bench.work import Job
from training.report.page import Page

FILE = "bench.html"
STRIPS = 2
"""Episodes of each world and task whose pictures are shown, of every model."""
LABEL, WORDS = 190, 14  # pixels


def write(found: dict[str, Any], suite: Suite, jobs: list[Job], folder: Path) -> Path:
    """Write the page of some results beside them, at once or not at all."""
    times = found["times"]
    page = Page(f"Bench of {', '.join(m for m in found['models'] if m != TRUTH)} on {suite.label}")
    page.words(
        f"{suite.about} {len(suite.scripts)} episodes, digest {suite.digest}. {times['hardware']}, "
        f"{times['date']}. Numbers are means with 95% intervals over episodes, where there are several."
    )
    _warnings(page, found, suite)
    _speed(page, found)
    _compared(page, found)
    for world in dict.fromkeys(w for of in found["models"].values() for w in of["summary"]):
        page.heading(world)
        for task, title in TITLES.items():
            _task(page, found, jobs, suite, world, task, title)
    path = folder / FILE
    part = path.with_name(f".{FILE}.part")
    part.write_text(page.html(), "utf-8")
    part.replace(path)
    return path


def _warnings(page: Page, found: dict[str, Any], suite: Suite) -> None:
    lines = [of["why"] for of in found["models"].values() if of["why"]]
    lines += [f"{label}: {why}" for label, of in found["models"].items() for why in skipped(of, suite)]
    if not found["truth"]["repeats"]:
        lines.append(
            "The true frames of some episodes differ from the suite's: compare on this machine only."
        )
    if not found["complete"]:
        lines.append("Not complete: the time was up. The same command goes on.")
    if lines:
        page.points(lines)
    for label, of in found["models"].items():
        for id_, text in of["tracebacks"].items():
            page.folded(f"where {label} failed: {id_}", text)


def _speed(page: Page, found: dict[str, Any]) -> None:
    rows = []
    for label, t in found["times"]["models"].items():
        if "frame_ms_p50" in t:
            count = found["models"][label]["parameters"]
            rows.append(
                [
                    label,
                    f"{t['frame_ms_p50']:g}",
                    f"{t['frame_ms_p95']:g}",
                    f"{t['memory_mib']:g}",
                    f"{count:,}" if count else "unknown",
                    f"{t['frames']}",
                ]
            )
    if rows:
        page.heading("Speed and memory")
        heads = [
            "model",
            "ms a frame, median",
            "95% below",
            "MiB over an empty process",
            "parameters",
            "frames",
        ]
        page.table(heads, rows)


def _compared(page: Page, found: dict[str, Any]) -> None:
    for label, described in found.get("compared", {}).items():
        page.heading(f"{label} against {described['against']}: {'PASS' if described['passed'] else 'FAIL'}")
        rows = [
            [
                r["world"],
                r["task"],
                r["key"],
                f"{r['mine']:.4f}",
                f"{r['theirs']:.4f}",
                better(r["better"]),
                f"{r['tolerance']:g}",
                "FAIL" if r["failed"] else "",
            ]
            for r in described["rows"]
        ]
        page.table(
            ["world", "task", "number", label, described["against"], "better by", "tolerance", ""], rows
        )
        fell = [w for w in described["worst"] if w["better"] < 0][:10]
        page.points([f"{w['episode']}: {w['key']} {w['mine']:.4f} from {w['theirs']:.4f}" for w in fell])
        if described["unasked"]:
            page.words(f"Not compared, since the command did not ask for them: {described['unasked']}.")


def _task(
    page: Page, found: dict[str, Any], jobs: list[Job], suite: Suite, world: str, task: str, title: str
) -> None:
    of = {label: m["summary"].get(world, {}).get(task) for label, m in found["models"].items()}
    there = {label: keys for label, keys in of.items() if keys}
    if not there:
        return
    page.heading(title, 3)
    columns = list(dict.fromkeys(key for keys in there.values() for key in keys))
    rows = [[_name(label, task), *(_cell(keys.get(key)) for key in columns)] for label, keys in there.items()]
    page.table(["model", *columns], rows)
    if plot := plotted(there, columns, task, list(found["models"])):
        page.picture(plot, f"{title}, {world}")
    ids = [s.id for s in suite.scripts if (s.world, s.task) == (world, task)]
    for i in ids[:STRIPS]:
        if sheet := stripped(i, jobs, found):
            page.picture(sheet, i)


def _name(label: str, task: str) -> str:
    return "truth (free: another true world)" if label == TRUTH and task == "free" else label


def _cell(s: dict[str, Any] | None) -> str:
    return "-" if s is None or s["mean"] is None else score(s)


def plotted(of: dict[str, dict[str, Any]], columns: list[str], task: str, models: list[str]) -> bytes:
    """A PNG with a panel for every metric, means with intervals by group; empty where matplotlib is not installed.

    A model has the colour of its place among all ``models``.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return b""
    metrics = [m for m in HIGHER if any(metric(c) == m for c in columns)]
    figure = Figure(figsize=(4.2 * len(metrics), 2.9), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(metrics))), metrics, strict=True):
        keys = [c for c in columns if metric(c) == name]
        for k, (label, numbers) in enumerate(of.items()):
            at = [i for i, key in enumerate(keys) if key in numbers]
            s = [numbers[keys[i]] for i in at]
            mean = np.array([x["mean"] for x in s])
            ends = np.abs(np.array([[x["low"] for x in s], [x["high"] for x in s]]) - mean)
            place = np.array(at) + 0.12 * (k - (len(of) - 1) / 2)
            colour = f"C{models.index(label)}"
            axes.errorbar(place, mean, ends, fmt="o", color=colour, ms=4, capsize=2, label=_name(label, task))
        axes.set_xticks(range(len(keys)), [k.removeprefix(name).strip() or "all" for k in keys], rotation=30)
        axes.set_title(f"{name} ({'more' if HIGHER[name] else 'less'} is better)", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(axis="y", alpha=0.3)
    figure.axes[0].legend(fontsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()


def stripped(id_: str, jobs: list[Job], found: dict[str, Any]) -> bytes:
    """A PNG of the strips of all models in one episode, the true frames above; empty where there are none."""
    rows: list[tuple[str, Any]] = []
    words: list[str] = []
    for job in jobs:
        path, label = (job.units / f"{id_}.png"), job.model.label
        if id_ not in found["models"][label]["episodes"] or not path.is_file() or label == TRUTH:
            continue
        with Image.open(path) as opened:
            sheet = opened.convert("RGB")
        half = sheet.height // 2
        words = words or found["models"][label]["words"][id_]
        if not rows or "-mirror" in id_:
            first = f"{label}, way out" if "-mirror" in id_ else "truth"
            rows.append((first, sheet.crop((0, 0, sheet.width, half))))
        rows.append((label, sheet.crop((0, half, sheet.width, sheet.height))))
    if not rows:
        return b""
    side = rows[0][1].height
    canvas = Image.new(
        "RGB", (LABEL + max(r.width for _, r in rows), WORDS + (side + 2) * len(rows)), "white"
    )
    draw = ImageDraw.Draw(canvas)
    for i, text in enumerate(words):
        draw.text((LABEL + i * side + 2, 1), text[:12], fill="black")
    for k, (label, row) in enumerate(rows):
        y = WORDS + k * (side + 2)
        draw.text((2, y + side // 2 - 6), label[:30], fill="black")
        canvas.paste(row, (LABEL, y))
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG")
    return buffer.getvalue()
