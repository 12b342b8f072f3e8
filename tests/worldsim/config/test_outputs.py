"""Where a result is to be written is checked before it is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldsim.config import ConfigError
from worldsim.config.addresses import prepare_output


def test_the_folder_of_a_result_is_made_and_its_file_is_not(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "er" / "x.json"
    prepare_output("out", str(file), ".json")
    assert file.parent.is_dir() and not file.exists()
    prepare_output("out", f"file://{file}", ".json")
    prepare_output("out", "s3://lab/x.json", ".json", store=True)
    prepare_output("out", "", ".json")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("episode.zip", r"expected a file of this machine that ends in \.json or \.md$"),
        ("model", r"that ends in \.json or \.md$"),
        ("folder.json", "is a folder; name a file in it"),
        ("s3://lab/x.json", "expected a file of this machine"),
    ],
)
def test_what_cannot_be_a_result_is_refused(
    name: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(ConfigError, match=sentence):
        prepare_output("out", name, ".json", ".md")
