"""Walks of one folder are made with the same words; others are refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.small_walks import small_maze, walks_words
from training import collect_walks
from training.data.walks import META


@pytest.mark.parametrize("word", ["steps=0", "episodes=0", "shard=0", "size=30", "size=4096", "workers=-1"])
def test_a_wrong_word_is_one_sentence(word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert collect_walks.main(["checkpoint=nowhere", f"out={tmp_path / 'out'}", word]) == 2
    assert f"{word.partition('=')[0]}: expected" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_shards_of_other_words_are_not_there_already(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("labmaze")
    words = walks_words(small_maze(tmp_path / "checkpoint"), tmp_path / "out")
    words += ["episodes=1", "steps=3"]
    assert collect_walks.main(words) == 0
    (meta,) = (tmp_path / "out").glob(f"*/{META}")
    facts = json.loads(meta.read_text())
    assert facts["steps"] == 3 and facts["size"] == 32
    for word, described in (
        ("steps=4", "with steps=3, and steps=4 is asked for"),
        ("size=64", "with size=32, and size=64 is asked for"),
        ("checkpoint=nowhere", "no checkpoint 'nowhere'"),
    ):
        capsys.readouterr()
        assert collect_walks.main([*words, word]) == 2
        assert described in capsys.readouterr().err
    meta.write_text(json.dumps(facts | {"pixels": "0123456789ab"}))
    assert collect_walks.main(words) == 2
    assert "pixels=0123456789ab" in capsys.readouterr().err
    meta.write_text(json.dumps({key: facts[key] for key in ("autoencoder", "env_id", "family")}))
    assert collect_walks.main([*words, "steps=4"]) == 0  # from before, which do not say
    assert "1 were there already" in capsys.readouterr().out
