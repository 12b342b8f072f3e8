"""The `worldsim` command: its table, its words and its exit codes."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import run_demo
from training import COMMANDS as modules
from worldsim.config import addresses
from worldsim_app import commands, play, record, replay
from worldsim_app.commands import COMMANDS, STAGES, Command
from worldsim_app.main import EPILOG, main

ROOT = Path(run_demo.__file__).parent
SCREEN = 40, 120  # lines and columns
heard: list[list[str]] = []


def listen(words: list[str]) -> int:
    """A command that hears its words and has an exit code of its own."""
    heard.append(words)
    return 7


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    monkeypatch.setitem(COMMANDS, "listen", Command(f"{__name__}:listen", "hear"))
    heard.clear()
    return heard


def test_words_arrive_as_they_were_typed_and_the_exit_code_comes_back(listener: list[list[str]]) -> None:
    words = [
        "out=run #2",
        "seed=0123",
        "lr=1e3",
        "*.py",
        "~/x",
        "$HOME",
        "--",
        "--flag=a b",
        "-x",
        "",
        "--help",
    ]
    assert main(["listen", *words]) == 7
    assert listener == [words]


def test_run_demo_is_play() -> None:
    assert run_demo.main is play.main
    assert COMMANDS["play"].load() is play.main


@pytest.mark.parametrize("name", [*COMMANDS, *(f"train {stage}" for stage in STAGES)])
def test_the_help_of_every_command_fits_a_screen(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name.split(), "--help"]) == 0
    told = capsys.readouterr().out.rstrip().splitlines()
    assert 2 <= len(told) <= SCREEN[0]
    assert max(map(len, told)) <= SCREEN[1]
    assert "python -m training" not in told[0]


@pytest.mark.parametrize("stage", STAGES)
def test_a_help_calls_every_command_by_its_name_of_today(
    stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", stage, "--help"]) == 0
    told = capsys.readouterr().out
    assert f"worldsim train {stage}" in told
    named = {each.module for each in (*COMMANDS.values(), *STAGES.values())}
    for short in re.findall(r"python -m (training\.\w+)", told):
        assert modules.get(short, short) not in named  # what has no name in the table keeps its own


def test_help_lists_every_command_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"  {name} " in told and command.line in told for name, command in COMMANDS.items())
    assert len(told.splitlines()) <= SCREEN[0]


def test_every_command_is_there() -> None:
    names = {
        "play",
        "record",
        "replay",
        "collect",
        "train",
        "evaluate",
        "report",
        "convert",
        "bench",
        "doctor",
    }
    assert names <= set(COMMANDS)
    for each in [*COMMANDS.values(), *STAGES.values()]:
        spec = importlib.util.find_spec(each.module)
        assert spec is not None and spec.origin is not None
        body = ast.parse(Path(spec.origin).read_text()).body
        assert each.target.partition(":")[2] in [
            part.name for part in body if isinstance(part, ast.FunctionDef)
        ]


@pytest.mark.parametrize("words", [["dance"], ["train", "dance"], ["--dance"]])
def test_what_does_not_exist_is_one_sentence(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert told.startswith("error: ") and "dance" in told


def test_a_mistake_behind_a_command_keeps_its_sentence_and_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["play", "--env", "quake"]) == 2
    assert "found quake" in capsys.readouterr().err
    assert main(["replay", "--headless"]) == 2
    assert "EPISODE.zip" in capsys.readouterr().err


def test_a_command_is_imported_when_it_is_used_and_not_before() -> None:
    code = "import sys; from worldsim_app.main import main; main(['--help']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_shells_complete_the_names() -> None:
    told = {"_WORLDSIM_COMPLETE": "bash_complete", "COMP_WORDS": "worldsim re", "COMP_CWORD": "1"}
    code = "import sys; from worldsim_app.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **told}, capture_output=True, text=True
    )
    assert done.stdout.split() == ["plain,record", "plain,replay", "plain,report"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_after_the_line_that_help_names(tmp_path: Path) -> None:
    script = tmp_path / "worldsim"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m worldsim_app "$@"\n')
    script.chmod(0o755)
    (tmp_path / "recordings").mkdir()
    (line,) = re.findall(r'eval "[^"]+"', EPILOG)
    words = [("worldsim re", 1), ("worldsim replay rec", 2)]
    asked = "; ".join(
        f"COMP_WORDS=({typed}); COMP_CWORD={at}; _worldsim_completion worldsim; echo ${{COMPREPLY[@]}}"
        for typed, at in words
    )
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", f"{line}; {asked}"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    # A file's name is bash's own to complete: it is asked to, and finds no word of ours.
    assert done.stdout.splitlines() == ["record replay report", ""], done.stderr


def test_recording_is_playing_into_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play, "main", listen)
    heard.clear()
    assert record.main(["--env", "dmlab"]) == 7
    assert record.main(["--env", "dmlab", "--record", "there"]) == 7
    assert heard == [["--record", "recordings", "--env", "dmlab"], ["--env", "dmlab", "--record", "there"]]


def test_a_replay_is_played_in_the_world_that_it_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["record", "--env", "gym:CartPole-v1", "--headless", "--steps", "3", "--record", str(tmp_path)])
        == 0
    )
    (episode,) = map(str, tmp_path.glob("*.zip"))
    assert main(["replay", episode, "--headless"]) == 0
    assert "bit for bit" in capsys.readouterr().out
    monkeypatch.setattr(play, "main", listen)
    heard.clear()
    replay.main([episode, "--headless"])
    replay.main([episode, "--backend=gymnasium"])
    world = ["--env", "gym:CartPole-v1"]
    assert heard[0] == [*world, "--backend", "gymnasium", "--replay", episode, "--headless"]
    assert heard[1] == [*world, "--replay", episode, "--backend=gymnasium"]


def test_the_table_of_parts_names_every_trainer() -> None:
    trainers = {f"training.{p.stem}" for p in (ROOT / "training").glob("train_*.py")}
    assert trainers <= {command.module for command in commands.STAGES.values()}


def test_what_is_recorded_for_a_store_is_brought_there_when_play_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLDSIM_CACHE", str(tmp_path))

    def played(words: list[str]) -> int:
        (Path(words[words.index("--record") + 1]) / "dmlab-1.zip").write_bytes(b"an episode")
        return 7

    monkeypatch.setattr(play, "main", played)
    assert record.main(["--env", "dmlab", "--record=memory://recorded"]) == 7
    assert addresses.read("memory://recorded/dmlab-1.zip") == b"an episode"
    assert not list(tmp_path.rglob("*.zip"))
