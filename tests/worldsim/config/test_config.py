"""Words on the command line and lines of YAML mean what they say."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from worldsim.config import ConfigError, load


@dataclass
class Inner:
    words: str = ""
    switch: bool = False


@dataclass
class Outer:
    source: str = "dream"
    folder: Path = Path()
    names: list[str] = field(default_factory=list)
    inner: Inner = field(default_factory=Inner)


def test_true_is_a_word_where_a_word_is_asked_for_and_a_switch_where_a_switch_is(tmp_path: Path) -> None:
    found = load(Outer, ["source=true", "inner.words=false", "inner.switch=true"])
    assert (found.source, found.inner.words, found.inner.switch) == ("true", "false", True)
    (tmp_path / "c.yaml").write_text("source: true\ninner:\n  switch: true\n")
    found = load(Outer, [], tmp_path / "c.yaml")
    assert (found.source, found.inner.switch) == ("true", True)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("sorce=true", "did you mean 'source'"),
        ("inner.swich=true", "did you mean 'inner.switch'"),
        ("inner.switch=perhaps", "perhaps"),
        ("inner=3", "Inner"),
        ("source", "expected key=value"),
    ],
)
def test_a_wrong_word_is_told_in_one_sentence(word: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        load(Outer, [word])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "word",
    ["my run #2", "0123", "1e3", "12:30", "yes", "null", "a: b", "${HOME}/x", "[old]", "ünï/ß", "a\\b", ""],
)
def test_where_a_word_is_asked_for_it_is_what_was_typed(word: str) -> None:
    assert load(Outer, [f"source={word}"]).source == word
    assert load(Outer, [f"inner.words={word}"]).inner.words == word


@pytest.mark.parametrize(
    "word", ["run #2", "0123", "1e3", "12:30", "yes", "a: b", "${HOME}/x", "[old]", "null", "~"]
)
def test_a_path_is_what_was_typed(word: str) -> None:
    assert load(Outer, [f"folder={word}"]).folder == Path(word)


def test_the_words_of_a_list_are_what_was_typed() -> None:
    assert load(Outer, ["names=[0123, 1e3, yes, run 2, 12:30]"]).names == [
        "0123",
        "1e3",
        "yes",
        "run 2",
        "12:30",
    ]
    assert load(Outer, ["names=['a, b', \"run #2\", '${x}']"]).names == ["a, b", "run #2", "${x}"]
    assert load(Outer, ["names=[]"]).names == []
    with pytest.raises(ConfigError, match="names"):
        load(Outer, ["names=[a"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: " + "[" * 100 + "]" * 100, "nested deeper"),
        ("- x\n" * 100_001, "more parts"),
        ("a: &a [1, 2]\nb: [*a, *a]\n", "alias"),
        ("#" * (2**20 + 1), "1 MiB"),
        ("? [1, 2]\n: 3\n", "not a readable YAML"),
    ],
)
def test_a_file_that_unfolds_into_more_than_a_configuration_is_refused(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        load(Outer, [], tmp_path / "c.yaml")


def test_a_mapping_in_a_list_of_words_is_refused_by_name(tmp_path: Path) -> None:
    (file := tmp_path / "c.yaml").write_text("names: [a, {b: 1}]\n")
    with pytest.raises(ConfigError, match=r"names: expected a list of str, found a list or mapping in it"):
        load(Outer, [], file)
    with pytest.raises(ConfigError, match="names: expected a list of str"):
        load(Outer, ["names=[a, [b]]"])
