"""Table 2 of AR-Diffusion over a trained pair: every s goes on with the same clips, beside its floor and ceiling."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.small_ar_diffusion import small_ar_diffusion
from tests.helpers.small_model import SPEC, small_checkpoint
from tests.helpers.small_run import record
from training.data.episodes import open_episodes
from training.study import differences
from training.study.continuing import ClipsConfig, copied, held_out
from worldsim.checkpoint import save


def test_a_row_a_difference_and_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differences, "networks_or_none", lambda *_: None)  # I3D needs longer clips than these
    data = record(tmp_path / "data", steps=14)
    pair = tmp_path / "pair"
    spec = open_episodes(data)[0].meta["action_spec"]
    save(pair, small_ar_diffusion(action_dim=7), {"family": "dmlab", "action_spec": spec})
    words = [f"checkpoint={pair}", f"held_out={data}", f"out={tmp_path / 'out.json'}", "given=2", "frames=4"]
    words += [f"table={tmp_path / 'page.md'}", f"features={small_checkpoint(tmp_path / 'features')}"]
    assert differences.main([*words, "differences=[0,1.5,3]", "denoising_steps=3", "device=cpu"]) == 0
    found = json.loads((tmp_path / "out.json").read_text())
    assert [row["label"] for row in found["rows"]] == ["0", "1.5", "3", "AR-VAE alone", "last given frame"]
    assert [row["calls"] for row in found["rows"][:3]] == [3, 8, 12]  # steps + (frames - 1) s, rounded up
    ssim = [row["scores"]["ssim_4"]["mean"] for row in found["rows"]]
    assert len(set(ssim)) == len(ssim)  # each s its own frames
    page = (tmp_path / "page.md").read_text().splitlines()
    assert page[0] == "| s | network calls | SSIM 1 | SSIM 4 | PSNR 1 | PSNR 4 | LFD | paper's FVD |"
    assert page[2].startswith("| 0 | 3 | ") and page[2].endswith("| - |")  # the paper's are of 50 steps


def test_episodes_of_another_world_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "pair", small_ar_diffusion(), {"family": "minecraft", "action_spec": SPEC})
    words = [f"checkpoint={tmp_path / 'pair'}", f"held_out={record(tmp_path / 'data', steps=14)}"]
    assert differences.main([*words, f"out={tmp_path / 'out.json'}", "device=cpu"]) == 2
    assert "speaks minecraft actions" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["out=scores.zip"], ["out=scores.json", "table=page.html"]])
def test_where_no_result_can_be_written_is_refused_before_anything_is_loaded(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert differences.main(["checkpoint=nowhere", "held_out=nowhere", *words]) == 2
    assert f"{words[-1]}: expected a file that ends in" in capsys.readouterr().err


def test_what_is_copied_is_the_last_frame_that_was_given(tmp_path: Path) -> None:
    config = ClipsConfig(clips=1, given=3, frames=2)
    clips = held_out(config, open_episodes(record(tmp_path / "data", steps=14)))
    shown = copied(clips, 3)
    assert shown.shape == clips.frames[:, 3:].shape
    assert all(np.array_equal(a[i], b[2]) for a, b in zip(shown, clips.frames, strict=True) for i in range(2))
