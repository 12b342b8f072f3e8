"""The tables of a study as Markdown: ours beside the paper's, every number with its n."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from training.study import paper
from training.study.config import FIGURE
from training.study.rows import TABLES

ANOTHER = "another world, another scale"
TITLES = {
    1: "History retrieval by history, budget and structure (paper, Table 1)",
    2: "Quality and motion metrics of the same rows (paper, Table 2)",
    3: "Ways to choose and compress history (paper, Table 3)",
    4: "Temporal degradation: PSNR in dB by segment of a rollout (paper, Table 4)",
    FIGURE: "Four timestep sets: degradation measured and predicted (paper, Figures 10 and 16)",
}
WORLD_NAMES = {"blocks": ("Blocks", "Minecraft"), "labmaze": ("LabMaze", "DMLab")}
PLOTTED = (
    "The paper plots its own (Figures 10 and 16, FVD) without numbers and finds (*,1) ahead of (*,2) in each."
)
METRICS = {"ssim": "SSIM", "psnr": "PSNR (dB)", "srr": "SRR"}
BOUNDS = {
    "ceiling": "*Autoencoder alone*",
    "recall": "*The view as it was last seen*",
    "true": "*The true frames*",
}
QUALITY = {
    "lfd_clips": "LFD of clips ↓",
    "lfd_frames": "LFD of frames ↓",
    "flickering": "flickering ↑",
    "smoothness": "smoothness ↑",
    "ssim": "SSIM ↑",
    "psnr": "PSNR ↑",
}
COSTS = {"calls": "network calls a frame", "computed": "frames computed a frame"}
DASH = "-"
Grid = tuple[list[str], list[list[str]]]
"""Column heads and rows of cells."""


def table(result: dict[str, Any]) -> str:
    """A whole table with title, grids, claims and where it comes from."""
    lines = [f"### {TITLES[result['table']]}: {WORLD_NAMES[result['env']][0]}", ""]
    for caption, grid in grids(result):
        lines += [caption, "", *lines_of(grid), ""]
    if result.get("claims"):
        by = "correlation over budgets" if result["table"] == 4 else "paired differences over the same frames"
        lines += [f"What the paper claims, by {by}:", ""]
        lines += [*lines_of(claims(result["claims"])), ""]
    lines += [f"- {words}" for words in remarks(result)]
    return "\n".join([*lines, f"- {source(result)}"]) + "\n"


def source(result: dict[str, Any]) -> str:
    """Where the paper's numbers beside ours come from."""
    if result["table"] == FIGURE:
        return PLOTTED
    return f"Columns headed 'paper': {WORLD_NAMES[result['env']][1]}, {ANOTHER}; there for the shape of the result."


def grids(result: dict[str, Any]) -> list[tuple[str, Grid]]:
    """Captions and grids of a table: one for each retrieval metric, else one."""
    number = result["table"]
    if number == 2:
        return [
            ("Brackets: 95% intervals over episodes (LFD: jackknife; the rest: bootstrap).", _quality(result))
        ]
    if number == FIGURE:
        return timestep_grids(result)
    if number == 4:
        return [("Mean ± spread over seeds; the same frames for all budgets.", _degradation(result))]
    metrics = ["srr", "ssim", "psnr"] if result["env"] == "labmaze" else ["ssim", "psnr"]
    columns = paper.COLUMNS_1 if number == 1 else paper.COLUMNS_3
    return [
        (
            f"{METRICS[m]} of views last seen so many frames ago; brackets: 95% bootstrap intervals over episodes.",
            g,
        )
        for m in metrics
        if (g := _retrieval(result, m, columns, with_paper=m == metrics[0])) is not None
    ]


def timestep_grids(result: dict[str, Any]) -> list[tuple[str, Grid]]:
    """What the timestep sets were measured to do, and what was predicted without a rollout."""
    rows = _played(result)
    segments = rows[0]["scores"]["segments"] if rows else []
    heads = ["timestep set", "LFD of frames, all segments ↓", *(f"LFD {s} ↓" for s in segments)]
    heads += [f"PSNR {s} (dB) ↑" for s in segments] + ["n"]
    cells = []
    for row in rows:
        s, name = row["scores"], row["timestep_set"]
        line = [f"({name})", interval(result["measured"]["lfd"][name])]
        line += [f"{x:.3f}" for x in s["lfd_frames"]["mean"]]
        line += [_spread(*pair) for pair in zip(s["psnr"]["mean"], _spreads(s), strict=True)]
        cells.append([*line, f"{s['episodes']} episodes x {s['seeds']} seeds"])
    found = [
        (
            "Measured on rollouts; LFD: brackets are 95% jackknife intervals over episodes; PSNR: mean ± spread over "
            f"seeds. From slowest degradation by LFD: {_order(result['measured']['order'])}.",
            (heads, cells),
        )
    ]
    if predicted := result.get("predicted"):
        sets = list(predicted[0]["see"])
        heads = ["loss", "read at the", *(f"SEE ({name})" for name in sets), "from slowest degradation"]
        lines = [
            [p["loss"], f"{p['end']} end", *(f"{p['see'][s]:.4g}" for s in sets), _order(p["order"])]
            for p in predicted
        ]
        caption = (
            "Predicted without a rollout: SEE, the loss under each set's step widths. The noisy end is Assumption 3 "
            "and the paper's sentence; the clean end gives the order of the paper's figure."
        )
        found.append((caption, (heads, lines)))
    return found


def claims(found: Sequence[dict[str, Any]]) -> Grid:
    """The claims with their differences and verdicts."""
    heads = ["claim", "rows", "metric", "difference", "n", "verdict"]
    rows = []
    for c in found:
        metric = METRICS.get(c["metric"], c["metric"]) + (f", {c['ages']}" if "ages" in c else "")
        n = str(c["difference"].get("n", f"{c['difference']['episodes']} episodes"))
        rows.append(
            [
                c["claim"],
                " less ".join(c["rows"]),
                metric,
                interval(c["difference"], n=False),
                n,
                c["verdict"],
            ]
        )
    return heads, rows


def remarks(result: dict[str, Any]) -> list[str]:
    """What the reader has to know: notes of rows, models, commit, hardware."""
    notes = [f"{row['label']} ({row['name']}): {row['note']}." for row in result["rows"] if row["note"]]
    lacking = Counter((row["label"], row["missing"]) for row in result["rows"] if "missing" in row)
    for (label, reason), count in lacking.items():
        notes.append(f"Missing: {label}" + (f" ({count} rows)" if count > 1 else "") + f": {reason}.")
    for name, b in result["backbones"].items():
        said = (
            f"{b['path']}, {b['training']}, weights {b['weights']}"
            if b["path"]
            else f"missing: {b['missing']}"
        )
        notes.append(f"Backbone {name}: {said}.")
    settings = ", ".join(f"{key} {value}" for key, value in result["dials"].items())
    notes.append(f"Dials: {settings}. Episodes: {result['episodes']}; seed {result['seed']}.")
    if result["table"] in (2, FIGURE):
        notes.append(
            "LFD is a Fréchet distance in our autoencoder's feature space, neither FID nor FVD. Flickering and "
            "smoothness are VBench's without its networks; flickering counts all neighbours, motion included."
        )
    if "losses" in result:
        notes.append(
            f"Loss curve: mean squared error of the predicted latent at {len(result['losses']['levels'])} levels, over "
            f"n = {result['losses']['clips']} clips after true frames, the same at every level, "
            f"{result['losses'].get('frames', 16)} frames of each."
        )
    if "rollout" in result:
        r = result["rollout"]
        notes.append(
            f"Rollouts: {r['length']} blind frames after {r['context']} true ones, {r['seeds']} seeds."
        )
    notes.append(f"Commit {result['commit']}; {result['hardware']}; `{result.get('command', '')}`.")
    return notes


def interval(score: dict[str, Any] | None, n: bool = True, digits: int = 3) -> str:
    """``0.512 [0.480, 0.540] n=120``; a dash where there is no number."""
    if score is None or score["mean"] is None:
        return DASH
    text = f"{score['mean']:.{digits}f}"
    if score.get("low") is not None and score.get("episodes") != 1:  # one episode tells no spread
        text += f" [{score['low']:.{digits}f}, {score['high']:.{digits}f}]"
    return text + (f" n={score['n']}" if n and "n" in score else "")


def _retrieval(result: dict[str, Any], metric: str, columns: Sequence[str], with_paper: bool) -> Grid | None:
    found = [row["scores"] for row in _played(result)]
    if found and not any(metric in s for s in found):
        return None
    digits = 2 if metric == "psnr" else 3
    theirs = [f"paper {c}" for c in columns] if with_paper else []
    # What table 3 compares are methods, which cost unlike; results of before had not counted that.
    costs = (
        ["calls", "computed"] if result["table"] == 3 and all("calls" in r for r in result["rows"]) else []
    )
    heads = ["method", "history", "budget", *(COSTS[c] for c in costs), *columns, "episodes", *theirs]
    rows = []

    def cells(start: list[str], got: dict[str, Any], end: str) -> list[str]:
        return [*start, *(interval(got.get(c), digits=digits) for c in columns), end]

    for row in _played(result):
        start = [*_start(row), *(f"{row[c]:.3g}" for c in costs)]
        done, of = row["of_episodes"]
        shown = cells(start, row["scores"].get(metric, {}), f"{done} of {of}")
        rows.append(shown + (_paper(result, row) if with_paper else []))
    for name, scores in result.get("bounds", {}).items():
        start = [BOUNDS[name], *[DASH] * (2 + len(costs))]
        rows.append(cells(start, scores.get(metric, {}), DASH) + [DASH] * len(theirs))
    return heads, rows


def _quality(result: dict[str, Any]) -> Grid:
    theirs = paper.COLUMNS_2[result["env"]]
    heads = ["method", "history", "budget", *QUALITY.values(), "episodes", *(f"paper {c}" for c in theirs)]
    rows = []
    for row in _played(result):
        done, of = row["of_episodes"]
        cells = [*_start(row), *(interval(row["scores"].get(m)) for m in QUALITY), f"{done} of {of}"]
        rows.append(cells + _paper(result, row))
    for name, scores in result.get("bounds", {}).items():
        cells = [BOUNDS[name], DASH, DASH, *(interval(scores.get(m)) for m in QUALITY), DASH]
        rows.append(cells + [DASH] * len(theirs))
    return heads, rows


def _degradation(result: dict[str, Any]) -> Grid:
    scores = [row["scores"] for row in _played(result)]
    segments = scores[0]["segments"] if scores else list(paper.COLUMNS_4)
    heads = [
        "method",
        "history",
        "budget",
        *segments,
        "largest decay",
        "n",
        *(f"paper {c}" for c in paper.COLUMNS_4),
    ]
    rows = []
    for row in _played(result):
        s = row["scores"]
        cells = _start(row)
        cells += [_spread(*pair) for pair in zip(s["psnr"]["mean"], _spreads(s), strict=True)]
        cells += [_spread(s["decay"]["mean"], s["decay"]["spread"])]
        cells += [f"{s['episodes']} episodes x {s['seeds']} seeds"]
        rows.append(cells + _paper(result, row))
    return heads, rows


def _spread(mean: float, spread: float | None) -> str:
    return f"{mean:.2f}" + ("" if spread is None else f" ± {spread:.2f}")


def _spreads(scores: dict[str, Any]) -> list[float | None]:
    return scores["psnr"]["spread"] or [None] * len(scores["segments"])


def _order(sets: Sequence[str]) -> str:
    return ", ".join(f"({name})" for name in sets)


def _played(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows that there are numbers of; :func:`remarks` names the others."""
    return [row for row in result["rows"] if "scores" in row]


def _start(row: dict[str, Any]) -> list[str]:
    budget = DASH if row["budget"] is None else str(row["budget"])
    return [row["label"], str(row["history"]), budget]


def _paper(result: dict[str, Any], entry: dict[str, Any]) -> list[str]:
    """The paper's numbers for a row, or dashes."""
    number, env = result["table"], result["env"]
    row = next(r for r in TABLES[number] if r.name == entry["name"])
    columns: Sequence[str]
    found: Sequence[float | None] | None
    if number == 4:
        spreads = paper.TABLE_4.get(row.budget or 0, {}).get(env)
        cells = [f"{mean:.2f} ± {spread:.2f}" for mean, spread in spreads] if spreads else None
        return cells or [DASH] * len(paper.COLUMNS_4)
    if number == 3:
        columns, found = paper.COLUMNS_3, paper.TABLE_3.get(row.preset, {}).get(env)
    elif number == 2:
        columns, found = paper.COLUMNS_2[env], paper.TABLE_2.get(row.settings, {}).get(env)
    else:
        columns, found = paper.COLUMNS_1, paper.TABLE_1.get(row.settings, {}).get(env)
    if found is None:
        return [DASH] * len(columns)
    places = [3 if number == 3 or c in ("TF", "MS") else 2 for c in columns]  # as they are printed
    return [DASH if v is None else f"{v:.{d}f}" for v, d in zip(found, places, strict=True)]


def lines_of(grid: Grid) -> list[str]:
    """A grid as a Markdown table."""
    heads, rows = grid
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return lines + ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows]
