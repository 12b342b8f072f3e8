"""Loss curves are read back from what the trainers wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from training.report.curves import CurvesError, run


def _write(folder: Path, values: dict[int, float]) -> None:
    writer = SummaryWriter(str(folder / "tensorboard"))
    for step, value in values.items():
        writer.add_scalar("train/loss", value, step)
    writer.close()


def test_every_run_is_told_and_drawn(tmp_path: Path) -> None:
    _write(tmp_path / "a", {0: 3.0, 10: 1.0, 20: 2.0})
    _write(tmp_path / "b", {0: 4.0, 10: 2.0})
    _write(tmp_path / "b", {10: 2.5, 20: 1.5})  # killed and resumed: step 10 was made again
    found = run([f"runs={tmp_path}", f"out={tmp_path / 'curves.png'}"])
    assert found["runs"]["a"] == {"steps": 21, "first": 3.0, "lowest": 1.0, "last": 2.0}
    assert found["runs"]["b"] == {"steps": 21, "first": 4.0, "lowest": 1.5, "last": 1.5}
    assert len(Image.open(tmp_path / "curves.png").getcolors(1 << 20)) > 20


def test_no_runs_or_no_such_scalar_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CurvesError, match="found none"):
        run([f"runs={tmp_path}"])
    _write(tmp_path / "a", {0: 1.0})
    with pytest.raises(CurvesError, match="has no scalar 'train/los'; it has train/loss"):
        run([f"runs={tmp_path}", "scalar=train/los"])
