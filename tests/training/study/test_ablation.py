"""The ablation: the paper's rows in its order, each trained and measured once, and a page that says so."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from tests.helpers.small_ar_diffusion import SMALL_VAE
from tests.helpers.small_model import small_checkpoint
from tests.helpers.small_run import record
from training.study import ablation
from training.study.ablation_claims import COPYING, claims
from training.study.ablation_table import LABELS
from training.train import ar_diffusion as train_ar_diffusion
from worldsim.checkpoint import save_autoencoder
from worldsim.models.autoencoders.ar_vae import ArVae

SMALL = "[model.denoiser.width=16,model.denoiser.depth=1,model.denoiser.heads=2,batch=2,optimizer.warmup=1]"


def test_rows_are_the_papers_six_in_its_order_then_single_changes() -> None:
    names = list(ablation.ROWS)
    assert names == list(LABELS)
    assert names[:6] == ["whole", "-fopp", "-vae", "-causal", "-x0", "-non_decreasing"]
    taken = [set(ablation.ROWS[name]) for name in names[1:5]]
    assert all(a <= b for a, b in pairwise(taken))  # each takes one more thing away
    assert all(len(set(ablation.ROWS[name])) <= 2 for name in names[6:])


def test_a_row_and_seed_is_trained_once_and_the_page_has_its_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = record(tmp_path / "data", steps=14)
    torch.manual_seed(0)
    save_autoencoder(tmp_path / "vae.safetensors", ArVae(SMALL_VAE), SMALL_VAE)
    features = small_checkpoint(tmp_path / "features")
    words = [f"data={data}", f"held_out={data}", f"autoencoder={tmp_path / 'vae.safetensors'}", "steps=1"]
    words += [
        f"out={tmp_path / 'out'}",
        f"table={tmp_path / 'page.md'}",
        f"features={features}",
        "device=cpu",
    ]
    words += [
        "rows=[whole,-non_decreasing]",
        "seeds=[0]",
        "given=2",
        "frames=4",
        "denoising_steps=2",
        "networks=false",
        f"words={SMALL}",
    ]
    assert ablation.main(words) == 0
    found = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert [(r["row"], r["seed"]) for r in found["results"]] == [("whole", 0), ("-non_decreasing", 0)]
    first = found["results"][0]
    assert first["training"]["steps"] == 1 and first["scores"].keys() == {
        "ssim_1",
        "ssim_4",
        "psnr_1",
        "psnr_4",
        "lfd",
    }
    page = (tmp_path / "page.md").read_text()
    assert (
        f"{first['scores']['ssim_1']['mean']:.3g}" in page
        and "12.2 / 62.8" in page
        and "it is not FVD" in page
    )
    assert found["copying"]["ssim_1"]["n"] == found["clips"]
    assert {(c["better"], c["worse"]) for c in found["claims"]} == {
        ("whole", COPYING),
        ("-non_decreasing", COPYING),
    }
    assert all(c["verdict"].startswith("not judged") for c in found["claims"])
    assert "| AR-Diffusion | copying | 1 |" in page and "Copying the last given frame: SSIM" in page
    assert "Rows not run: - FoPP (uniform first frame), - improved VAE" in page
    monkeypatch.setattr(train_ar_diffusion, "main", lambda args: pytest.fail("trained a row again"))
    assert ablation.main(words) == 0
    assert json.loads((tmp_path / "out" / "ablation.json").read_text())["results"] == found["results"]
    capsys.readouterr()
    assert ablation.main([*words, "rows=[fop]"]) == 2
    assert "rows: expected some of whole, -fopp" in capsys.readouterr().err
    assert ablation.main([*words, "rows=[-vae]"]) == 2
    assert "needs plain=FILE" in capsys.readouterr().err


def _values(shift: float, episodes: int = 6) -> dict[str, list[list[float]]]:
    """Two clips an episode, of which episodes differ far more than rows do."""
    return {"ssim_1": [[0.1 * e + shift, 0.1 * e + 0.05 + shift] for e in range(episodes)]}


def test_rows_are_compared_by_pairs_and_judged_where_every_seed_agrees() -> None:
    rows = {"whole": [_values(0.02), _values(0.03)], "-fopp": [_values(0.0), _values(0.0)]}
    rows |= {"independent": [_values(0.04), _values(0.06)], "eps": [_values(0.01), _values(0.04)]}
    found = {(c["better"], c["worse"]): c for c in claims(rows, _values(0.02))}
    fopp = found["whole", "-fopp"]
    assert (
        fopp["difference"]["low"] == fopp["difference"]["high"] == pytest.approx(0.025)
    )  # episodes cancel out
    assert fopp["seeds"] == pytest.approx([0.02, 0.03]) and fopp["verdict"] == "shown"
    assert found["whole", "independent"]["verdict"] == "contradicted"
    assert found["whole", "eps"]["verdict"] == "not told apart"  # one seed says so, the other does not
    assert found["independent", COPYING]["verdict"] == "shown"
    assert found["-fopp", COPYING]["verdict"] == "contradicted"
    assert claims({"whole": [_values(0.1)]}, _values(0.0))[0]["verdict"] == "not judged: one seed"
    few = claims({"whole": [_values(0.1, 4)] * 2}, _values(0.0, 4))[0]
    assert few["verdict"] == "not judged: 4 of the 5 episodes that it takes"
