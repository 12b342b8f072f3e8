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
NOT_RUN = "not run by a test"
"""What a line of a page says whose command none of `EXECUTED` is, where a comment has room for it."""
TESTS = ROOT / "tests"
EXECUTED = {
    "worldsim play": ("test_run_demo.py", "run_demo.main("),
    "python run_demo.py": ("test_run_demo.py", "run_demo.main("),
    "python .../run_demo.py": ("test_run_demo.py", "run_demo.main("),
    "worldsim record": ("worldsim_app/test_main.py", '"record"'),
    "worldsim replay": ("worldsim_app/test_main.py", '"replay"'),
    "worldsim doctor": ("worldsim_app/test_doctor.py", "doctor.main("),
    "worldsim collect": ("training/test_collect.py", "collect.main("),
    "python -m training.collect": ("training/test_collect.py", '"training.collect"'),
    "worldsim train": ("training/pipeline/test_pipeline.py", "main(words) == 0"),
    "worldsim index": ("training/train/test_train.py", "index.main("),
    "worldsim train autoencoder": ("training/train/test_train.py", "train_autoencoder.main("),
    "worldsim train denoiser": ("training/train/test_train.py", "train_denoiser.main("),
    "worldsim train odometry": ("training/train/test_odometry.py", "train_odometry.main("),
    "worldsim train pixels": ("training/train/test_pixels.py", "train_pixels.main("),
    "worldsim train walks": ("training/train/test_walks.py", "collect_walks.main("),
    "worldsim train generator": ("training/train/test_generator.py", "train_generator.main("),
    "worldsim train ar-vae": ("training/train/test_ar_vae.py", "train_ar_vae.main("),
    "worldsim train ar-diffusion": ("training/train/test_ar_diffusion.py", "train_ar_diffusion.main("),
    "python -m training.sample": ("training/report/test_sample.py", "sample.main("),
    "python -m training.ablate_ar_diffusion": ("training/study/test_ablation.py", "ablation.main("),
    "python -m training.compare_differences": ("training/study/test_differences.py", "differences.main("),
    "python -m training.card": ("training/cards/test_card.py", "card.main("),
    "worldsim evaluate": ("training/test_evaluate.py", "evaluate.main("),
    "python -m training.evaluate": ("training/test_evaluate.py", "evaluate.main("),
    "worldsim report moving": ("training/report/test_report.py", '"moving"'),
    "worldsim report study": ("training/study/test_study.py", "report"),
    "worldsim convert": ("training/convert/test_convert.py", "main([str(w)"),
    "worldsim bench": ("training/bench/test_bench.py", "main([*words"),
    "worldsim bench speed": ("training/benchmark/test_step.py", "benchmark.main("),
    "python -m training.benchmark engines": ("training/benchmark/test_engines.py", "benchmark.main("),
    "python -m training.benchmark ad": ("training/benchmark/test_ad.py", "ad.run("),
    "worldsim dream-server": ("worldsim/dream/remote/test_remote.py", '"dream-server"'),
    "python -c": ("test_bench_examples.py", "dream_contract("),
}
"""The commands of the pages, and the test that runs each, with words that take seconds; `.ci/run` runs those of pip."""
BY_CI = ("python -m venv", "pip install", ".venv/bin/pip install", ".venv/bin/python -m pytest", ".ci/run")


def commands(page: Path) -> list[list[str]]:
    """The command lines of ours in the blocks of a page, as words without comments."""
    found = []
    # text, language, block, "", ...
    parts = re.split(r"^```(.*)\n", page.read_text("utf-8"), flags=re.MULTILINE)
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


def lines(page: Path) -> list[str]:
    """The lines of the blocks of a page that are for a shell, with their comments; one that goes on is one."""
    parts = re.split(r"^```(.*)\n", page.read_text("utf-8"), flags=re.MULTILINE)
    blocks = [b for kind, b in zip(parts[1::4], parts[2::4], strict=True) if kind in ("", "bash", "sh")]
    return [line for b in blocks for line in b.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_of_a_page_is_run_by_a_test_or_says_that_it_is_not(page: Path) -> None:
    for line in lines(page):
        if NOT_RUN in line:
            continue
        for part in line.partition("#")[0].split("&&"):
            command = part.strip().removeprefix(".venv/bin/")
            known = command.startswith(tuple(EXECUTED)) or part.strip().startswith(BY_CI)
            assert known or not command, f"{page.name}: {line!r} is run by no test, and does not say so"


def test_what_is_said_to_be_run_by_a_test_is() -> None:
    every = " ".join(line for page in PAGES for line in lines(page))
    for command, (file, call) in EXECUTED.items():
        assert call in (TESTS / file).read_text("utf-8"), f"{file} does not run {command}"
        assert command in every, f"{command} is on no page"


def test_there_are_commands_to_be_checked() -> None:
    assert len([words for page in PAGES for words in commands(page)]) > 40
    with pytest.raises(ConfigError, match="did you mean"):
        check(["worldsim", "collect", "env=blocks", "polcy=mixed", "out=x"])


def test_every_page_is_in_the_site() -> None:
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    listed = set(re.findall(r"([\w]+\.md)$", text, re.MULTILINE))
    assert listed == {page.name for page in (ROOT / "docs").glob("*.md")}
    assert yaml.safe_load(text)["site_name"] == "worldsim"
