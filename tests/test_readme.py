"""What the README shows to those who add something works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from worldsim.diffusion.methods import method
from worldsim.models.memory.variants.protocol import COMPRESSORS, MemoryVariantConfig, References, compress

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()


def _block(language: str, having: str = "") -> str:
    """The one block of a language, or of those the one that has a word in it."""
    found = [b for b in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if having in b]
    assert len(found) == 1
    return str(found[0])


def test_the_python_of_the_readme_dreams_and_scores(capsys: pytest.CaptureFixture[str]) -> None:
    exec(_block("python", "worldsim.load"), {"__name__": "example"})
    told = re.fullmatch(r"SSIM after 8 imagined frames: (\d\.\d\d)\n", capsys.readouterr().out)
    assert told is not None and 0 < float(told[1]) <= 1


def test_the_method_of_the_readme_is_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(_block("yaml"))
    mine = method(file)
    assert (mine.schedule.window, mine.schedule.stride, mine.steps) == (4, 4, 8)
    assert mine.references(20) == [0, *range(12, 20)]


def test_the_memory_variant_of_the_readme_compresses() -> None:
    known = dict(COMPRESSORS)
    try:
        exec(_block("python", "@compressor"), {"__name__": "example"})
        made = COMPRESSORS["skip"](MemoryVariantConfig(), 2, 3, (4, 4))
    finally:
        COMPRESSORS.clear()
        COMPRESSORS.update(known)
    index = torch.arange(7.0)
    past = References(
        index.reshape(1, 7, 1, 1, 1).expand(1, 7, 2, 4, 4),
        index.reshape(1, 7, 1).expand(1, 7, 3),
        torch.zeros(1, 7),
        torch.ones(1, 7, dtype=torch.bool),
    )
    assert compress(made, past, 3).actions[0, :, 0].tolist() == [2, 4, 6]
    assert compress(made, past, 9).latents[0, :, 0, 0, 0].tolist() == [0, 2, 4, 6]
