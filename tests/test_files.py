"""What is kept in the repository: nothing large, and no checkpoint that another one's card stands beside."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from training.cards.ship import fingerprint
from worldsim.checkpoint import CARD, WEIGHTS

ROOT = Path(__file__).parents[1]
LARGEST = 20 * 2**20
"""Bytes of a file: whoever clones carries all of them for good."""


def test_no_file_is_larger_than_a_clone_should_carry() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("this is no clone")
    files = [ROOT / name.decode() for name in listed.stdout.split(b"\0") if name]
    assert len(files) > 100
    large = {str(f.relative_to(ROOT)): f.stat().st_size for f in files if f.is_file()}
    assert not {name: size for name, size in large.items() if size > LARGEST}


@pytest.mark.parametrize("folder", sorted((ROOT / "assets" / "checkpoints").iterdir()), ids=lambda p: p.name)
def test_a_card_is_that_of_the_weights_beside_it(folder: Path) -> None:
    told = re.search(r"^- Weights: SHA-256 ([0-9a-f]{16})$", (folder / CARD).read_text(), re.MULTILINE)
    assert told is not None, "training.ship writes it"
    assert told[1] == fingerprint(folder / WEIGHTS), (
        "the weights changed: write the card anew (training.ship)"
    )
