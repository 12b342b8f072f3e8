"""The documentation's commands exist and know their words; its pages are in the site. What takes hours is not run."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from training.bench.models import is_model
from worldsim.cli.options import parse
from worldsim.config import ConfigError, load
from worldsim_app.commands import COMMANDS, STAGES, WHOLE

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
CARDS = sorted((ROOT / "assets" / "checkpoints").glob("*/card.md"))
PLAYED = ("play", "record", "serve")


def commands(page: Path) -> list[list[str]]:
    """The command lines of ours in the blocks of a page, as words without comments."""
    found = []
    parts = re.split(
        r"^```(.*)\n", page.read_text("utf-8"), flags=re.MULTILINE
    )  # text, language, block, "", ...
    for language, block in zip(parts[1::4], parts[2::4], strict=True):
        if language not in ("", "bash", "sh"):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            for part in line.split("&&"):
                if not part.strip().startswith(("worldsim ", "python ", ".venv/bin/python ")):
                    continue
                words = shlex.split(part, comments=True)
                if words[:1] == ["worldsim"] or ("-m" in words[:2] and "training." in part):
                    found.append(words)
                elif any(word.endswith("run_demo.py") for word in words[:2]):
                    found.append(["worldsim", "play", *words[2:]])
    return [words for words in found if "..." not in words]


def check(words: list[str]) -> None:
    """Whether a command of that name takes these words.

    Raises:
        ConfigError, OptionError: it does not.
    """
    if words[0] != "worldsim":
        _known(words[words.index("-m") + 1], words[words.index("-m") + 2 :])
        return
    name, rest = words[1], words[2:]
    if name.startswith("-") or name == "doctor":
        return
    assert name in COMMANDS, name
    if name in PLAYED:
        parse(rest)
    elif name == "train" and rest[0] in STAGES:
        _known(STAGES[rest[0]].module, rest[1:])
    elif name == "train":
        _known(WHOLE.module.replace(".__main__", ".plan"), rest[1:])
    elif name == "bench":
        _benched(rest)
    elif name != "replay":
        _known(COMMANDS[name].module, rest)


def _benched(words: list[str]) -> None:
    """A benchmark of speed or an export is a command of its own; else models stand before the settings."""
    if words[0] == "speed":
        _known(f"training.benchmark.{words[1]}", words[2:])
    elif words[0] not in ("export", "mind"):
        _known("training.bench.__main__", [word for word in words if not is_model(word)])


def _known(module: str, words: list[str]) -> None:
    """Whether the configuration of a module has these words; one that reads its own is asked elsewhere."""
    found: Any = importlib.import_module(module)
    cls = getattr(found, "Config", None) or getattr(found, "CollectConfig", None)
    told = [word for word in words if "=" in word and not word.startswith("-")]
    if cls is None or any(word.startswith(("table=", "figure=", "config=")) for word in told):
        return
    try:
        load(cls, told)
    except ConfigError as error:
        if "is required" not in str(error):
            raise


@pytest.mark.parametrize("page", [*PAGES, *CARDS], ids=lambda p: str(p.relative_to(ROOT)))
def test_the_commands_of_a_page_know_their_words(page: Path) -> None:
    for words in commands(page):
        try:
            check(words)
        except ValueError as error:
            raise AssertionError(f"{' '.join(words)}: {error}") from error


def test_there_are_commands_to_be_checked() -> None:
    assert len([words for page in PAGES for words in commands(page)]) > 40
    with pytest.raises(ConfigError, match="did you mean"):
        check(["worldsim", "collect", "env=blocks", "polcy=mixed", "out=x"])


def test_every_page_is_in_the_site() -> None:
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    listed = set(re.findall(r"([\w]+\.md)$", text, re.MULTILINE))
    assert listed == {page.name for page in (ROOT / "docs").glob("*.md")}
    assert yaml.safe_load(text)["site_name"] == "worldsim"
