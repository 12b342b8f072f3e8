"""Every command is found by its short name, wherever its file lies."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from training import COMMANDS

ROOT = Path(__file__).parents[2]
TEXTS = [ROOT / "README.md", ROOT / "training" / "queue.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMED = sorted(
    {name for text in TEXTS for name in re.findall(r"-m (training(?:\.[a-z_]+)+)", text.read_text("utf-8"))}
)


def test_trainers_cards_and_the_ablation_have_short_names() -> None:
    assert {"training.train_denoiser", "training.ship", "training.ablate_ar_diffusion"} <= COMMANDS.keys()
    assert len([name for name in COMMANDS if name.startswith("training.train_")]) == 11


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_short_name_is_the_file_of_its_module(name: str) -> None:
    short = find_spec(name)
    whole = find_spec(COMMANDS[name])
    assert short is not None and whole is not None and whole.origin is not None
    assert short.origin == whole.origin and Path(whole.origin).is_file()
    assert 'if __name__ == "__main__":' in Path(whole.origin).read_text("utf-8")


@pytest.mark.parametrize("name", NAMED)
def test_a_command_that_the_texts_name_is_found(name: str) -> None:
    assert find_spec(name) is not None


def test_a_name_that_is_no_command_is_not_found() -> None:
    assert find_spec("training.train_nothing") is None
