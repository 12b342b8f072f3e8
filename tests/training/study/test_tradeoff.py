"""Figure 11 as a number: does a budget that retrieves more decay faster?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.study import markdown, tradeoff
from training.study.config import StudyConfig
from training.study.rows import PREPEND, TABLE_4

ROWS = [row for row in TABLE_4 if row.backbone == PREPEND]
AGES = (8, 30, 60)
"""One in each range of ages."""


def _runs(fall: float) -> dict[str, Any]:
    """Two seeds of 32 frames."""
    return {seed: {"psnr": [20.0] * 16 + [20 - fall] * 16} for seed in "01"}


def _study(folder: Path, episodes: int, slope: float) -> tuple[StudyConfig, dict[str, list[dict[str, Any]]]]:
    """Needles in which larger budgets retrieve more, rollouts that decay the more so the larger the slope."""
    rng = np.random.default_rng(0)
    records: dict[str, list[dict[str, Any]]] = {}
    for k, row in enumerate(ROWS):
        units = folder / "labmaze" / "units" / f"needle-{row.name}"
        units.mkdir(parents=True)
        for i in range(episodes + 1):
            values = [0.2 + 0.1 * k + 0.001 * float(rng.random()) for _ in AGES]
            needle = {
                "header": {"episode": f"n{i}", "checkpoint": "mine" if i < episodes else "another"},
                "trials": [[j, age] for j, age in enumerate(AGES)],
                "rows": {row.name: {"trial": {"ssim": values}}},
            }
            (units / f"n{i}.json").write_text(json.dumps(needle))
        falls = [5 + slope * k + 0.01 * float(rng.random()) for _ in range(episodes)]
        records[row.name] = [
            {"header": {"episode": f"r{i}", "checkpoint": "mine"}, "rows": {row.name: _runs(fall)}}
            for i, fall in enumerate(falls)
        ]
    return StudyConfig(table=4, env="labmaze", out=str(folder)), records


@pytest.mark.parametrize(("slope", "r", "verdict"), [(1.0, 1.0, "shown"), (-1.0, -1.0, "contradicted")])
def test_it_is_the_correlation_over_budgets(tmp_path: Path, slope: float, r: float, verdict: str) -> None:
    config, records = _study(tmp_path, 6, slope)
    (found,) = tradeoff.claims(config, records)
    assert found["verdict"] == verdict
    assert found["difference"]["mean"] == pytest.approx(r, abs=0.01)
    assert found["difference"]["mean"] == pytest.approx(
        np.corrcoef(found["retrieval"], found["decay"])[0, 1], abs=1e-3
    )
    assert found["difference"]["low"] <= found["difference"]["mean"] <= found["difference"]["high"]
    assert found["difference"]["episodes"] == 6, "what other weights played is left out"
    np.testing.assert_allclose(np.diff(found["retrieval"]), 0.1, atol=0.01)
    np.testing.assert_allclose(np.diff(found["decay"]), slope, atol=0.02)
    (line,) = markdown.claims([found])[1]
    assert line[1] == "Prepending, budgets 8, 16, 32, 48" and line[4] == "6 episodes"


def test_what_rises_in_every_other_episode_alone_is_not_shown(tmp_path: Path) -> None:
    config, records = _study(tmp_path, 6, 0.0)
    for k, some in enumerate(records.values()):
        for i, record in enumerate(some):
            fall = 5 + (k - 1.5) * (-1) ** i + 0.01 * k
            record["rows"] = {name: _runs(fall) for name in record["rows"]}
    (found,) = tradeoff.claims(config, records)
    assert found["verdict"] == "not shown"
    assert found["difference"]["low"] < 0 < found["difference"]["high"]


def test_few_episodes_or_budgets_are_no_correlation(tmp_path: Path) -> None:
    config, records = _study(tmp_path, 4, 1.0)
    (found,) = tradeoff.claims(config, records)
    assert found["verdict"].startswith("not judged: 4 of the 5")
    two = dict(list(records.items())[:2])
    assert tradeoff.claims(config, two) == []
    assert tradeoff.claims(StudyConfig(table=4, env="blocks", out=str(tmp_path)), records) == []
