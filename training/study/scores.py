"""From the records of episodes to the numbers of a row: retrieval by age, quality and motion, degradation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from training.study.needle import TRUE
from training.study.resample import jackknife, mean_of_means
from worldsim.metrics.bootstrap import interval
from worldsim.metrics.degradation import by_segment, maximum_decay, names, normalised, over_seeds
from worldsim.metrics.frechet import fit, frechet_distance

Record = dict[str, Any]
RANGES = {
    "0-16": (0, 16),
    "16-48": (16, 48),
    "48-112": (48, 112),
    "16-32": (16, 32),
}  # (low, high], in frames
RANGES_1, RANGES_3 = ("0-16", "16-48", "48-112"), ("0-16", "16-32")
AVERAGE = "avg"
MOTION = ("flickering", "smoothness")


def trials(record: Record, row: str, metric: str, ages: str) -> list[float | None]:
    """The values of a metric for the trials of an age range, in order; None where the judge had nothing to judge."""
    low, high = RANGES[ages]
    values = record["rows"][row]["trial"].get(metric, [])
    return [v for (_, age), v in zip(record["trials"], values, strict=bool(values)) if low < age <= high]


def metrics_of(records: Sequence[Record], row: str) -> list[str]:
    """The retrieval metrics that these records have: ssim, psnr and, for mazes, srr."""
    return list(records[0]["rows"][row]["trial"]) if records else []


def retrieval(records: Sequence[Record], row: str, ranges: Sequence[str], seed: int) -> dict[str, Any]:
    """{metric: {range or avg: interval}}; ``avg`` is the mean of the ranges, as in the paper's tables."""
    found: dict[str, Any] = {}
    for metric in metrics_of(records, row):
        values = [{r: known(trials(record, row, metric, r)) for r in ranges} for record in records]
        cells = {r: interval([v[r] for v in values], seed) for r in ranges}
        average = mean_of_means([[v[r] for r in ranges] for v in values], seed)
        found[metric] = cells | {AVERAGE: average | {"n": sum(c["n"] for c in cells.values())}}
    return found


def paired(
    a: Sequence[Record], b: Sequence[Record], rows: tuple[str, str], metric: str, ages: str, seed: int
) -> dict[str, Any]:
    """Interval of row a less row b, trial by trial, over the episodes that both have."""
    other = {record["header"]["episode"]: record for record in b}
    groups = []
    for record in a:
        match = other.get(record["header"]["episode"])
        if match is not None:
            pairs = zip(
                trials(record, rows[0], metric, ages), trials(match, rows[1], metric, ages), strict=True
            )
            groups.append([x - y for x, y in pairs if x is not None and y is not None])
    return interval(groups, seed)


def quality(records: Sequence[Record], row: str, seed: int) -> dict[str, Any]:
    """Table 2 for a row: LFD of clips and frames (jackknife), motion and, against truth, SSIM and PSNR (bootstrap)."""
    found: dict[str, Any] = {}
    if row != TRUE:
        for kind in ("clips", "frames"):
            found[f"lfd_{kind}"] = jackknife(records, partial(lfd, row=row, kind=kind)) | {
                "n": sum(len(r["rows"][row]["features"][kind]) for r in records)
            }
    for name in (*MOTION, *(() if row == TRUE else ("ssim", "psnr"))):
        found[name] = interval([r["rows"][row]["clip"][name] for r in records], seed)
    return found


def lfd(records: Sequence[Record], row: str, kind: str) -> float:
    """Latent Fréchet distance of a row's dreams from the true frames of the same episodes; ``clips`` or ``frames``."""
    true, dreamt = ([f for r in records for f in r["rows"][who]["features"][kind]] for who in (TRUE, row))
    return frechet_distance(fit(true), fit(dreamt))


def quality_difference(
    a: Sequence[Record], b: Sequence[Record], rows: tuple[str, str], metric: str, seed: int
) -> dict[str, Any]:
    """Interval of row a less row b in a metric of Table 2, over the episodes that both have."""
    other = {record["header"]["episode"]: record for record in b}
    both = [(r, other[r["header"]["episode"]]) for r in a if r["header"]["episode"] in other]
    if metric.startswith("lfd_"):
        kind = metric.removeprefix("lfd_")
        return jackknife(
            both,
            lambda some: lfd([x for x, _ in some], rows[0], kind) - lfd([y for _, y in some], rows[1], kind),
        )
    clips = ((x["rows"][rows[0]]["clip"][metric], y["rows"][rows[1]]["clip"][metric]) for x, y in both)
    return interval([[p - q for p, q in zip(*pair, strict=True)] for pair in clips], seed)


def degradation(records: Sequence[Record], row: str) -> dict[str, Any]:
    """Table 4 for a row: by segment, PSNR and SSIM (mean and spread over seeds) and LFD; maximum PSNR decay."""
    seeds = list(records[0]["rows"][row])
    frames = len(records[0]["rows"][row][seeds[0]]["psnr"])
    found: dict[str, Any] = {"segments": list(names(frames)), "seeds": len(seeds), "episodes": len(records)}
    for metric in ("psnr", "ssim"):
        # (seeds, episodes, frames)
        runs = np.array([[r["rows"][row][s][metric] for r in records] for s in seeds])
        by = by_segment(runs).mean(1)  # (seeds, segments)
        statistics = over_seeds(by)
        found[metric] = {
            "mean": _list(statistics.mean),
            "spread": _list(statistics.spread) if statistics.n > 1 else None,
        }
        found[metric]["percent"] = _list(normalised(statistics.mean))
        if metric == "psnr":
            found["decay"] = {"mean": float(np.round(maximum_decay(statistics.mean), 4))}
            found["decay"]["spread"] = (
                float(np.round(maximum_decay(by).std(ddof=1), 4)) if len(seeds) > 1 else None
            )
    for kind in ("frames", "clips"):
        lfd = lfd_by_segment(records, row, kind)
        found[f"lfd_{kind}"] = {"mean": _list(lfd), "percent": _list(normalised(lfd))}
    return found


def lfd_by_segment(records: Sequence[Record], row: str, kind: str) -> list[float]:
    """LFD of a row's rollouts, all seeds together, from the true frames (``frames``, ``clips``) of each segment."""
    true = [r["rows"][TRUE]["features"] for r in records]
    dreamt = [run["features"] for r in records for run in r["rows"][row].values()]
    count = len(true[0]["clips"])  # one clip a segment
    per = len(true[0][kind]) // count
    parts = [slice(k * per, (k + 1) * per) for k in range(count)]
    return [
        frechet_distance(
            fit([f for t in true for f in t[kind][p]]), fit([f for d in dreamt for f in d[kind][p]])
        )
        for p in parts
    ]


def known(values: Sequence[float | None]) -> list[float]:
    """Those that there are."""
    return [v for v in values if v is not None]


def _list(values: Any) -> list[float]:
    return [round(float(v), 4) for v in values]
