"""README is a landing page; what it and docs/extending.md show works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from worldsim.diffusion.methods import method
from worldsim.models.memory.variants.protocol import COMPRESSORS, MemoryVariantConfig, References, compress

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
EXTENDING = (ROOT / "docs" / "extending.md").read_text()
LINES = 150
LARGEST = 2 * 10**6  # bytes of its moving picture


def _block(page: str, language: str, having: str = "") -> str:
    """The one block of a language, or of those the one that has a word in it."""
    found = [b for b in re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL) if having in b]
    assert len(found) == 1
    return str(found[0])


def test_the_python_of_the_readme_dreams_and_scores(capsys: pytest.CaptureFixture[str]) -> None:
    exec(_block(README, "python", "worldsim.load"), {"__name__": "example"})
    told = re.fullmatch(r"SSIM after 8 imagined frames: (\d\.\d\d)\n", capsys.readouterr().out)
    assert told is not None and 0 < float(told[1]) <= 1


def test_the_method_of_the_docs_is_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(_block(EXTENDING, "yaml"))
    mine = method(file)
    assert (mine.schedule.window, mine.schedule.stride, mine.steps) == (4, 4, 8)
    assert mine.references(20) == [0, *range(12, 20)]


def test_the_memory_variant_of_the_docs_compresses() -> None:
    known = dict(COMPRESSORS)
    try:
        exec(_block(EXTENDING, "python", "@compressor"), {"__name__": "example"})
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


def test_it_is_a_landing_page_and_begins_with_a_moving_picture() -> None:
    lines = README.splitlines()
    assert len(lines) <= LINES
    shown = re.match(r"!\[.+\]\((.+\.(?:webp|gif))\)", next(line for line in lines[1:] if line))
    assert shown is not None
    assert (ROOT / shown[1]).stat().st_size <= LARGEST
    with Image.open(ROOT / shown[1]) as picture:
        assert getattr(picture, "n_frames", 1) > 20


def test_it_has_a_command_to_play_and_the_one_that_is_tested() -> None:
    commands = re.findall(r"^```\n(.*?)```", README, re.DOTALL | re.MULTILINE)
    assert "run_demo.py --env minecraft" in commands[0]
    tested = README.split("<!-- test -->\n```\n")[1].split("```")[0]
    assert tested.strip().endswith("-m pytest") and "-c constraints.txt" in tested


def test_what_it_links_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)", README):
        assert (ROOT / target).exists(), target
