"""What held of the paper's claims, over all tables and worlds of a study: one line each, with its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training.study.markdown import METRICS, WORLD_NAMES, Grid, interval

UNJUDGED = "not judged"
HEADS = ["claim", "world", "rows", "metric", "difference [95%]", "n (episodes)", "what was found"]


def verdicts(results: Sequence[dict[str, Any]]) -> Grid:
    """Every claim of these results that could be judged, the same claims of different worlds side by side."""
    lines = []
    for result in results:
        for c in result.get("claims", ()):
            metric = METRICS.get(c["metric"], c["metric"].replace("lfd_", "LFD of "))
            ages = f", seen {c['ages']} ago" if "ages" in c else ""
            difference, episodes = c["difference"], c["difference"]["episodes"]
            n = f"{difference['n']} ({episodes})" if "n" in difference else f"({episodes})"
            rows = " less ".join(c["rows"])
            found = interval(difference, n=False)
            lines.append(
                [c["claim"], WORLD_NAMES[result["env"]][0], rows, metric + ages, found, n, c["verdict"]]
            )
    # What lacks episodes is left to its own table, unless that is all there is.
    lines = [line for line in lines if not line[-1].startswith(UNJUDGED)] or lines
    order = {claim: k for k, claim in enumerate(dict.fromkeys(line[0] for line in lines))}
    return HEADS, sorted(lines, key=lambda line: order[line[0]])
