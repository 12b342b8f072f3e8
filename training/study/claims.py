"""What the paper claims of memory, put to our rows: paired differences over the same frames, and a verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from training.study.rows import CHANNEL, PREPEND, TABLE_1, TABLE_3, WORLD
from training.study.scores import MOTION, Record, paired, quality_difference

Records = Callable[[str], Sequence[Record]]
"""The records of a group; none where it was not played."""


@dataclass(frozen=True)
class Claim:
    """``more`` less ``less`` in an age range: expected above 0, or (``cheap``) hardly below it."""

    text: str
    more: str
    less: str
    ages: str
    cheap: bool = False


def _of(structure: str) -> list[Claim]:
    a, b, c, small = (f"{structure}-{settings}" for settings in ("16-all", "48-all", "112-all", "48-16"))
    return [
        Claim("history 48 retrieves what history 16 cannot", b, a, "16-48"),
        Claim("history 112 retrieves what history 48 cannot", c, b, "48-112"),
        Claim("history 112 retrieves what history 16 cannot", c, a, "48-112"),
        Claim("budget 16 of history 48 loses little", small, b, "16-48", cheap=True),
    ]


SOFT = "method-soft_compression"
CLAIMS = (
    *_of(WORLD),
    *(
        Claim(
            "the dream as it is played against its forgetful twin",
            f"{WORLD}-112-16",
            f"{WORLD}-window-all",
            ages,
        )
        for ages in ("0-16", "16-48", "48-112")
    ),
    *_of(PREPEND),
    *_of(CHANNEL),
    # Section 6.1: compressing many frames against each way to choose 16 of them, where choosing begins to forget.
    *(
        Claim(f"soft compression retrieves what {other} cannot", SOFT, f"method-{preset}", "16-32")
        for preset, other in (
            ("last_16", "the last 16 frames"),
            ("last_32_skip_1", "every other of 32 frames"),
            ("fifo", "FIFO"),
            ("gamengen", "GameNGen"),
            ("streaming_t2v", "StreamingT2V"),
        )
    ),
)
LEAST = 5  # episodes: intervals from fewer are too narrow to judge by
SEPARATED = ("lfd_clips", "lfd_frames", *MOTION)


def retrieval_claims(
    records: Records, scores: dict[str, Any], metric: str, seed: int
) -> list[dict[str, Any]]:
    """Each claim whose two rows were measured, with the paired difference and a verdict.

    Args:
        scores: of Table 1 or 3, {row: {metric: {range: interval}}}.
    """
    found = []
    for claim in CLAIMS:
        if claim.more not in scores or claim.less not in scores:
            continue
        a, b = (scores[row][metric][claim.ages] for row in (claim.more, claim.less))
        rows = _played(claim.more), _played(claim.less)
        difference = paired(records(claim.more), records(claim.less), rows, metric, claim.ages, seed)
        if difference["mean"] is None:
            continue
        apart = a["low"] > b["high"]
        found.append(
            {
                "claim": claim.text,
                "rows": [claim.more, claim.less],
                "ages": claim.ages,
                "metric": metric,
                "difference": difference,
                "intervals_apart": apart,
                "verdict": _cheap(difference, b["mean"]) if claim.cheap else _verdict(difference, apart),
            }
        )
    return found


def separation_claims(records: Records, names: Sequence[str], seed: int) -> list[dict[str, Any]]:
    """Whether the metrics of Table 2 tell history 112 from history 16, for each structure measured."""
    found = []
    for structure in (WORLD, PREPEND, CHANNEL):
        more, less = f"{structure}-112-all", f"{structure}-16-all"
        if more not in names or less not in names:
            continue
        for metric in SEPARATED:
            difference = quality_difference(records(more), records(less), (more, less), metric, seed)
            if difference["low"] is None:
                continue
            blind = difference["low"] <= 0 <= difference["high"]
            verdict = "does not tell them apart" if blind else "tells them apart: contradicts the paper"
            if difference["episodes"] < LEAST:
                verdict = unjudged(difference)
            found.append(
                {
                    "claim": "the metric does not separate the memories",
                    "rows": [more, less],
                    "metric": metric,
                    "difference": difference,
                    "verdict": verdict,
                }
            )
    return found


def unjudged(difference: dict[str, Any]) -> str:
    """The verdict on too few episodes."""
    return f"not judged: {difference['episodes']} of the {LEAST} episodes that it takes"


def _verdict(difference: dict[str, Any], apart: bool) -> str:
    if difference["episodes"] < LEAST:
        return unjudged(difference)
    if difference["low"] > 0:
        return "shown, intervals apart" if apart else "shown by the paired difference; intervals overlap"
    return "contradicted" if difference["high"] < 0 else "not shown"


def _cheap(difference: dict[str, Any], whole: float) -> str:
    """How much is lost, in percent of what is retrieved without compression."""
    if difference["episodes"] < LEAST:
        return unjudged(difference)
    if not whole:
        return "nothing to lose: nothing is retrieved without compression"
    lost = -100 * difference["mean"] / whole
    worst = -100 * difference["low"] / whole
    return f"loses {lost:.1f}% (at most {worst:.1f}% at 95%)"


def _played(name: str) -> str:
    return next(row.played for row in (*TABLE_1, *TABLE_3) if row.name == name)
