"""The table of engines: those that are here in turn on the same frames, the others with what they need."""

import json
from pathlib import Path

import pytest
import torch

from tests.helpers.small_model import SPEC
from tests.helpers.small_networks import small_generator
from training.benchmark import __main__ as benchmark
from worldsim import checkpoint


@pytest.mark.parametrize("twin", [False, True])
def test_every_engine_has_a_row_and_what_is_not_here_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], twin: bool
) -> None:
    facts = {"family": "minecraft", "action_spec": SPEC, "env_id": "worldsim/Blocks-v0"}
    checkpoint.save(tmp_path / "small", small_generator(), facts)
    words = [
        f"checkpoint={tmp_path / 'small'}",
        f"twin={twin}",
        "frames=12",
        "context=9",
        "history=8",
        "budget=2",
    ]
    assert (
        benchmark.main(["engines", *words, "engines=[cpu,eager,cudagraphs]", "precision=fp32", "device=cpu"])
        == 0
    )
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(report["engines"]) == ["cpu", "eager"]
    assert "GPU" in report["absent"]["cudagraphs"]
    for row in report["engines"].values():
        for phase in ("odometry", "read", "denoise", "decode", "pixels", "step"):
            ms = row["phases"][phase]
            assert 0 <= ms["p50"] <= ms["p95"] <= ms["p99"]
        assert {"gflop", "fraction", "bound"} <= set(row["phases"]["denoise"])
        # of a rate that is measured beside it, on a busy machine too low
        assert row["phases"]["step"]["fraction"] > 0
        assert row["levels_off"]["mean"] < 1 and row["levels_off"]["n"] == 4
        assert row["cpu_ms"]["p50"] > 0
    assert report["engines"]["cpu"]["ratio"] == 1.0
    assert report["engines"]["eager"]["levels_off"]["max"] == 0
    assert report["hardware"] and torch.get_num_threads() >= 1
