"""The benchmark of a step: every phase has its time, its work and its bound."""

import json
from pathlib import Path

import pytest

from tests.helpers.small_model import small_checkpoint
from training.benchmark import __main__ as benchmark

PLAIN = ["compress", "odometry", "read", "denoise", "decode", "keep"]
FAST = ["compress", "odometry", "read", "conditions", "denoise 1", "denoise 2", "decode", "keep"]


@pytest.mark.parametrize("engine", ["fast", "plain"])
def test_every_phase_has_its_time_its_work_and_its_bound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], engine: str
) -> None:
    folder = small_checkpoint(tmp_path / "small", env_id="worldsim/Blocks-v0")
    phases = FAST if engine == "fast" else PLAIN
    options = [f"engine={engine}", "frames=24", "context=30", "history=20", "budget=4", "flat=210"]
    assert benchmark.main(["step", f"checkpoint={folder}", *options]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(report["one"]) == [*phases, "step"] == list(report["with_twin"])
    for phase in phases:
        row = report["one"][phase]
        assert 0 < row["p50"] <= row["p95"] <= row["p99"]
        assert row["gflop"] > 0
        assert row["bound"] in ("arithmetic", "memory", "overhead")
    whole = report["one"]["step"]
    assert whole["gflop"] == pytest.approx(sum(report["one"][p]["gflop"] for p in phases[1:]), abs=1e-3)
    assert whole["p50"] >= sum(report["one"][p]["p50"] for p in phases[1:]) * 0.8
    assert 0 < report["fraction"] < 1
    assert report["flat"]["ratio"] > 0 and report["history_ratio"]["p50"] > 0
    assert report["encode_ms"]["n"] and report["correct_ms"]["n"]
