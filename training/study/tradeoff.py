"""Figure 11: whether what retrieves more decays faster, over the budgets of one way to remember.

A budget retrieves its average of Table 1 and decays by the largest fall of PSNR in Table 4. Pearson's coefficient over
the budgets has a 95% interval by bootstrap: needle and rollout episodes are drawn apart, the same for all budgets.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.study.claims import LEAST, unjudged
from training.study.config import StudyConfig
from training.study.rows import PREPEND, TABLE_4, WORLD, Row, group_of
from training.study.scores import RANGES_1, Record, known, trials
from training.study.units import NEEDLE
from worldsim.metrics.bootstrap import COVERAGE, DRAWS
from worldsim.metrics.degradation import by_segment, maximum_decay

LEAST_BUDGETS = 3  # two points always lie on a line
METRICS = ("srr", "ssim")


def claims(config: StudyConfig, records: dict[str, list[Record]]) -> list[dict[str, Any]]:
    """The correlation of each way to remember, by each metric of the needle episodes that the same weights played.

    Args:
        records: of Table 4, by group.
    """
    found = []
    for structure in (WORLD, PREPEND):
        rows = [row for row in TABLE_4 if row.backbone == structure and records.get(group_of(row))]
        if len(rows) < LEAST_BUDGETS:
            continue
        rollouts = _shared([records[group_of(row)] for row in rows])
        marks = {record["header"]["checkpoint"] for some in rollouts for record in some}
        needles = _shared([_needles(config, row, marks) for row in rows])
        for metric in METRICS:
            if needles[0] and metric in needles[0][0]["rows"][rows[0].played]["trial"]:
                found.append(_correlation(rows, needles, rollouts, metric, config.seed))
    return found


def _correlation(
    rows: Sequence[Row],
    needles: Sequence[Sequence[Record]],
    rollouts: Sequence[Sequence[Record]],
    metric: str,
    seed: int,
) -> dict[str, Any]:
    values = [
        [[known(trials(r, row.played, metric, ages)) for ages in RANGES_1] for r in some]
        for row, some in zip(rows, needles, strict=True)
    ]
    sums, counts = (
        np.array([[[how(part) for part in parts] for parts in some] for some in values], float)
        for how in (sum, len)
    )  # (budgets, episodes, ranges)
    falls = np.array(
        [
            [np.mean([by_segment(run["psnr"]) for run in r["rows"][row.played].values()], 0) for r in some]
            for row, some in zip(rows, rollouts, strict=True)
        ]
    )  # (budgets, episodes, segments)

    def both(of_needles: NDArray[np.int64], of_rollouts: NDArray[np.int64]) -> tuple[Any, Any]:
        """Retrieval and decay by budget over draws (..., episodes), each (budgets, ...)."""
        with np.errstate(invalid="ignore"):
            means = sums[:, of_needles].sum(-2) / counts[:, of_needles].sum(-2)
        return means.mean(-1), maximum_decay(falls[:, of_rollouts].mean(-2))

    n, m = sums.shape[1], falls.shape[1]
    retrieval, decay = both(np.arange(n), np.arange(m))
    random = np.random.default_rng(seed)
    drawn = both(random.integers(n, size=(DRAWS, n)), random.integers(m, size=(DRAWS, m)))
    low, high = np.nanquantile(_pearson(*drawn), [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    r = {"mean": _pearson(retrieval, decay), "low": low, "high": high}
    difference = {name: round(float(x), 4) for name, x in r.items()} | {"episodes": min(n, m)}
    return {
        "claim": "a budget that retrieves more decays faster",
        "rows": [f"{rows[0].label}, budgets " + ", ".join(str(row.budget) for row in rows)],
        "metric": f"r of {metric.upper()} and PSNR decay",
        "retrieval": [round(float(x), 4) for x in retrieval],
        "decay": [round(float(x), 4) for x in decay],
        "difference": difference,
        "verdict": _verdict(difference),
    }


def _pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the first axis."""
    x, y = x - x.mean(0), y - y.mean(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((x * y).sum(0) / np.sqrt((x * x).sum(0) * (y * y).sum(0)))


def _verdict(r: dict[str, Any]) -> str:
    if r["episodes"] < LEAST:
        return unjudged(r)
    if r["low"] > 0:
        return "shown"
    return "contradicted" if r["high"] < 0 else "not shown"


def _needles(config: StudyConfig, row: Row, marks: set[str]) -> list[Record]:
    files = sorted((config.folder / "units" / f"{NEEDLE}-{group_of(row)}").glob("*.json"))
    records = [json.loads(file.read_text()) for file in files]
    return [record for record in records if record["header"]["checkpoint"] in marks]


def _shared(by_row: list[list[Record]]) -> list[list[Record]]:
    """The records of the episodes that all rows have, in one order."""
    episodes = [{r["header"]["episode"]: r for r in some} for some in by_row]
    common = sorted(set.intersection(*(set(some) for some in episodes)))
    return [[some[name] for name in common] for some in episodes]
