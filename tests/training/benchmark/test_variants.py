"""The table of memory variants: every variant has a row, and more memory costs more."""

import json

import pytest

from training.benchmark import __main__ as benchmark
from worldsim.models.memory.variants.registry import variants

SIZES = {"channels": 4, "grid": 4, "window": 2, "history": 4, "budget": 2, "width": 16, "depth": 1}
SMALL = ["seconds=0", "widths=[8,8,8,8]", *(f"{name}={size}" for name, size in SIZES.items())]


def test_every_variant_of_every_denoiser_has_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["variants", *SMALL]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["benchmark"] == "variants" and report["hardware"]
    rows = {(row["denoiser"], row["way"], row["compressor"]): row for row in report["variants"]}
    wanted = {("none", "none"), *variants()}
    assert set(rows) == {(d, *pair) for d in ("unet3d", "causal_dit") for pair in wanted}
    for (denoiser, way, compressor), row in rows.items():
        plain = rows[denoiser, "none", "none"]
        assert row["ms_per_step"] > 0
        if way != "none":
            assert row["parameters"] > plain["parameters"]
            assert row["mflops_per_frame"] > plain["mflops_per_frame"]
        if compressor != "none":
            assert row["compress_mflops"] > 0
            assert row["mflops_per_frame"] < rows[denoiser, way, "none"]["mflops_per_frame"]


def test_a_size_of_nothing_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["variants", "window=0"]) == 2
    assert "at least 1" in capsys.readouterr().err
