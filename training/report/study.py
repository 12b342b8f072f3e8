"""The study's results on disk as one HTML page with plots and strips, and its tables as Markdown."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from training.report.page import Page
from training.report.plot import Canvas
from training.report.strips import strip
from training.report.study_plots import retrieval_plot, segments_plot, title, tradeoff_plot
from training.report.timesteps_plot import timesteps_plot
from training.study import markdown
from training.study.config import FIGURE
from training.study.verdicts import verdicts
from worldsim.config import load

STRUCTURES = {"world": "Ray memory", "prepend": "Prepending", "channel": "Channel concatenation"}
PICTURED = ("world-window-all", "world-16-all", "world-48-all", "world-48-16", "world-112-16")
NUMBERS = {"table1": 1, "table2": 2, "table3": 3, "table4": 4, "figure10": FIGURE}
TABLES_BELOW = "<!-- tables: written by training.report study -->"
METRIC = {"labmaze": "srr", "blocks": "ssim"}


@dataclass
class Config:
    """``results`` is what `training.evaluate table=...` was given as ``out``; ``strips`` is how many of each kind.

    ``markdown`` takes the tables: all of the file, or what follows the line ``TABLES_BELOW`` in it; empty for a file
    beside ``out``. ``picture`` is a PNG of one retrieval strip of each world.
    """

    results: str = "results"
    out: str = MISSING
    strips: int = 3
    markdown: str = ""
    picture: str = ""


def run(args: list[str]) -> dict[str, Any]:
    """Write ``out`` and the Markdown beside it.

    Raises:
        ValueError: no results there.
    """
    config = load(Config, args)
    folder, out = Path(config.results), Path(config.out)
    found = {
        (file.parent.name, NUMBERS[file.stem]): json.loads(file.read_text())
        for file in sorted(folder.glob("*/*.json"))
        if file.stem in NUMBERS
    }
    if not found:
        raise ValueError(
            f"no results in {folder}: expected WORLD/tableN.json; make some with `training.evaluate table=1`"
        )
    page = Page("What dreams remember: the tables of Meta-ARVDM on our own worlds")
    page.words(
        "Every number is ours but those in columns headed 'paper', which come from another world on another scale "
        "(Minecraft and DMLab, larger models) and stand there for the shape of the result, not to be equalled."
    )
    judged = verdicts([result for _, result in sorted(found.items())])
    if judged[1]:
        page.heading("What held")
        page.table(*judged, "The paper's claims put to our rows, by paired differences over the same frames:")
    for world in sorted({env for env, _ in found}):
        page.heading(
            f"{markdown.WORLD_NAMES[world][0]} (beside the paper's {markdown.WORLD_NAMES[world][1]})"
        )
        for name, number in NUMBERS.items():
            if (world, number) not in found:
                page.words(f"{name.capitalize()} was not evaluated.")
                continue
            result = found[world, number]
            page.heading(markdown.TITLES[number], 3)
            _plots(page, result, found, config, folder / world / "units")
            for caption, (heads, rows) in markdown.grids(result):
                page.table(heads, rows, caption)
            if result.get("claims"):
                page.table(
                    *markdown.claims(result["claims"]), "What the paper claims, by paired differences:"
                )
            page.points([*markdown.remarks(result), markdown.source(result)])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page.html())
    tables = Path(config.markdown) if config.markdown else out.with_suffix(".md")
    write_tables(tables, [result for _, result in sorted(found.items())])
    if config.picture:
        _retrieval_picture(found, folder).save(Path(config.picture), colours=256)
    print(f"{out} ({out.stat().st_size / 2**20:.1f} MiB) and {tables}")
    return {
        "html": str(out),
        "markdown": str(tables),
        "tables": [f"{env} {number}" for env, number in sorted(found)],
    }


def write_tables(file: Path, results: list[dict[str, Any]]) -> None:
    """Write the tables; what a person wrote above the line ``TABLES_BELOW`` stays."""
    head, line, _ = file.read_text().partition(TABLES_BELOW) if file.exists() else ("", "", "")
    kept = f"{head}{line}\n\n" if line else ""
    file.parent.mkdir(parents=True, exist_ok=True)
    found = verdicts(results)
    held = ["## What held", "", *markdown.lines_of(found), "", "## Tables", ""] if found[1] else []
    file.write_text(kept + "\n".join([*held, *(markdown.table(result) for result in results)]))


def _retrieval_picture(found: dict[tuple[str, int], Any], folder: Path) -> Canvas:
    """The first needle episode's strip of every world, one below the other."""
    strips = []
    for env, number in sorted(found):
        records = sorted((folder / env / "units").glob("needle-world/*.json"))
        if number == 1 and records:
            strips.append(
                (markdown.WORLD_NAMES[env][0], strip(records[0], _names(found[env, 1]["rows"]), PICTURED))
            )
    if not strips:
        raise ValueError(f"no needle episode of the world model in {folder}; make some with table=1")
    high = [part.size[1] + 24 for _, part in strips]
    canvas = Canvas(max(part.size[0] for _, part in strips), sum(high))
    for k, (name, part) in enumerate(strips):
        top = sum(high[:k])
        canvas.text((4, top + 12), f"{name}: truth above, dreams below it framed in red")
        canvas.paste((0, top + 24), part)
    return canvas


def _plots(
    page: Page, result: dict[str, Any], found: dict[tuple[str, int], Any], config: Config, units: Path
) -> None:
    """The plots and strips that belong to a table, before its numbers."""
    env, number = result["env"], result["table"]
    rows = [row for row in result["rows"] if "scores" in row]
    if number == 1:
        for structure, name in STRUCTURES.items():
            structure_rows = [row for row in rows if row["backbone"] == structure and not row["plays"]]
            for metric in dict.fromkeys((METRIC[env], "ssim")):
                if any(metric in row["scores"] for row in structure_rows):
                    page.picture(
                        retrieval_plot(structure_rows, metric).png(),
                        f"{name}: {metric.upper()} of views that come back, by how long ago they were last seen.",
                    )
        _strips(page, sorted(units.glob("needle-world/*.json"))[: config.strips], result["rows"], PICTURED)
    if number == 3 and rows:
        ranges = ("0-16", "16-32")
        metric = METRIC[env] if METRIC[env] in rows[0]["scores"] else "ssim"
        page.picture(
            retrieval_plot(rows, metric, ranges).png(), f"{metric.upper()} by way of choosing history."
        )
    if number == FIGURE and rows:
        page.picture(
            timesteps_plot(result).png(),
            "Loss by noise level, and rollouts by timestep set (Figures 10, 16).",
        )
    if number == 4 and rows:
        page.picture(
            segments_plot(result).png(), "Degradation normalised to the first segment (paper, Figure 9)."
        )
        first = found.get((env, 1))
        metric = METRIC[env]
        if first and any(metric in row.get("scores", {}) for row in first["rows"]):
            for structure, name in STRUCTURES.items():
                plot = tradeoff_plot(first, result, metric, structure)
                if plot is not None:
                    caption = "the price of remembering, decay against retrieval (paper, Figure 11)."
                    page.picture(plot.png(), f"{name}: {caption}")
        _strips(page, sorted(units.glob("rollout-world/*.json"))[: config.strips], result["rows"], ())


def _strips(page: Page, records: list[Path], rows: list[dict[str, Any]], chosen: tuple[str, ...]) -> None:
    how = (
        "the frames ahead are counted from the last true one."
        if not chosen
        else ("the stretch is the one in which most old views come back, chosen before anything was scored.")
    )
    for record in records:
        page.picture(
            strip(record, _names(rows), chosen).png(),
            f"{record.stem}: truth above, dreams below it framed in red; {how}",
        )


def _names(rows: list[dict[str, Any]]) -> dict[str, str]:
    # A row that plays another's dreams has no pictures of its own; the one it plays is named as the pictures are.
    plays = {row["plays"]: title(row) for row in rows}
    return plays | {row["name"]: title(row) for row in rows} | {"true": "truth"}
