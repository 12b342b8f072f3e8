"""Cards to publish with say what the files say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.helpers.small_model import small_checkpoint
from tests.helpers.small_run import SIZE, record
from training.cards import card
from worldsim.checkpoint import CARD


def _facts(readme: Path) -> tuple[dict[str, object], str]:
    _, head, body = readme.read_text().split("---\n", 2)
    facts: dict[str, object] = yaml.safe_load(head)
    return facts, body


def test_the_card_of_a_checkpoint_is_its_own_under_its_facts(tmp_path: Path) -> None:
    folder = small_checkpoint(tmp_path / "mine")
    (folder / CARD).write_text("# mine\n\nSSIM 0.5 (n = 3).\n")
    assert card.main([f"checkpoint={folder}", "license=mit", "note=Young."]) == 0
    facts, body = _facts(folder / "README.md")
    assert facts["license"] == "mit" and facts["library_name"] == "worldsim"
    own = facts["worldsim"]
    assert (
        isinstance(own, dict)
        and own["family"] == "minecraft"
        and own["kind"] == "world"
        and own["size"] == 32
    )
    assert "SSIM 0.5 (n = 3)." in body and body.rstrip().endswith("Young.")


def test_the_card_of_a_data_set_counts_what_is_there(tmp_path: Path) -> None:
    data = record(tmp_path / "data", episodes=2, steps=5)
    assert card.main([f"data={data}", "license=cc0-1.0"]) == 0
    own = _facts(data / "README.md")[0]["worldsim"]
    assert isinstance(own, dict)
    assert (own["episodes"], own["frames"], own["size"], own["poses"]) == (2, 12, SIZE, True)
    assert own["alignment"] == "action i leads from frame i to frame i+1"


@pytest.mark.parametrize("words", [["license=mit"], ["license=mit", "data=a", "checkpoint=b"], ["data=a"]])
def test_what_is_missing_is_asked_for_in_one_sentence(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert card.main(words) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
