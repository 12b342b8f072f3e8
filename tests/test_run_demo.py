"""The front door: what a newcomer's command leaves behind, and one sentence for every wrong input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import run_demo
from envs.actions import space, spec
from envs.episodes.episode import Episode, EpisodeWriter
from tests.helpers.small_model import small_checkpoint
from worldsim.checkpoint import load
from worldsim.cli.compile_ahead import CompileAhead
from worldsim.cli.dreams import name, side
from worldsim.cli.options import parse
from worldsim.config import shipped
from worldsim.dream.registry import Source

ROOT = Path(run_demo.__file__).parent
PATIENCE = 300  # seconds for a run in a process of its own, on a machine that is busy


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _demo(*words: object) -> int:
    return run_demo.main([str(w) for w in words])


def _refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run, expect exit code 2 and one sentence, and return it."""
    assert _demo(*words) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert told[0].startswith("error: ")
    return told[0]


def _environment(**changes: str) -> dict[str, str]:
    drop = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    kept = {k: v for k, v in os.environ.items() if k not in drop}
    return {**kept, "PYTHONPATH": str(ROOT), **changes}


# -- what it leaves behind -------------------------------------------------------------------------


def test_a_headless_run_leaves_the_report_and_a_video(
    checkpoint: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (
        "--env",
        "minecraft",
        "--headless",
        "--policy",
        "needle",
        "--steps",
        30,
        "--compare",
        "--seed",
        5,
    )
    files = ("--report", here / "r.json", "--video", here / "v.mp4")
    assert _demo(*words, *files, "--checkpoint", checkpoint, "budget=4") == 0
    report = json.loads((here / "r.json").read_text())
    _check_report(report)
    assert (report["env"], report["seed"], report["steps"]) == ("minecraft", 5, 30)
    assert list(report["dreams"]) == ["memory", "forgetful"]
    told = capsys.readouterr().out
    assert (
        told.startswith("dream: ")
        and " on cpu, " in told.splitlines()[0]
        and "engine" in told.splitlines()[0]
    )
    assert "forgetful" in told
    assert [d["history"] for d in report["dreams"].values()] == [20, 4]
    assert {d["history_from"] for d in report["dreams"].values()} == {"true"}
    with av.open(str(here / "v.mp4")) as video:
        shapes = [frame.to_ndarray(format="rgb24").shape for frame in video.decode(video=0)]
    assert len(shapes) == 31  # the true context frame, then every step
    assert shapes[0][1] > 3 * 300


def _check_report(report: dict[str, Any]) -> None:
    head = {"env", "backend", "seed", "steps", "device", "threads", "dtype", "checkpoint", "context"}
    assert set(report) == head | {"fps", "step_ms", "dreams"}
    assert set(report["fps"]) == {"median", "p1"}
    assert set(report["step_ms"]) == {"p50", "p95", "p99"}
    for dream in report["dreams"].values():
        assert {"history", "budget", "history_from", "pose_from", "psnr", "ssim", "retrieval"} <= set(dream)
        assert list(dream["retrieval"]) == ["0-16", "16-48", "48-112"]
        assert all(set(r) == {"ssim", "n"} for r in dream["retrieval"].values())


def test_a_recording_replays_bit_for_bit(
    checkpoint: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("--env", "minecraft", "--headless", "--checkpoint", checkpoint)
    assert _demo(*common, "--policy", "explore", "--steps", 12, "--record", here / "rec", "--seed", 7) == 0
    (recorded,) = (here / "rec").glob("*.zip")
    assert len(Episode(recorded)) == 13
    capsys.readouterr()
    assert _demo(*common, "--replay", recorded) == 0
    assert "13 of 13 frames, all as recorded, bit for bit" in capsys.readouterr().out


def test_without_a_display_it_says_so_and_plays_headless(checkpoint: Path, here: Path) -> None:
    words = [sys.executable, str(ROOT / "run_demo.py"), "--env", "minecraft", "--steps", "8"]
    done = subprocess.run(
        [*words, "--checkpoint", str(checkpoint)],
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert "No window can be opened here" in done.stdout
    assert json.loads((here / "worldsim-minecraft.json").read_text())["steps"] == 8
    assert (here / "worldsim-minecraft.mp4").stat().st_size > 1000


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_ctrl_c_seals_the_recording_and_exits_with_130(checkpoint: Path, here: Path) -> None:
    words = [
        sys.executable,
        str(ROOT / "run_demo.py"),
        "--env",
        "minecraft",
        "--headless",
        "--steps",
        "100000",
    ]
    files = ["--record", str(here / "rec"), "--report", str(here / "r.json"), "--checkpoint", str(checkpoint)]
    run = subprocess.Popen(
        [*words, *files], env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and len(list(here.glob("rec/*.partial/frames/*.png"))) < 5:
        assert run.poll() is None, run.stderr.read() if run.stderr else ""
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    _, told = run.communicate(timeout=PATIENCE)
    assert run.returncode == 130, told
    assert "Traceback" not in told
    (recorded,) = (here / "rec").glob("*.zip")
    assert len(Episode(recorded)) >= 5
    assert json.loads((here / "r.json").read_text())["steps"] >= 3


def test_a_live_window_plays_and_ends_after_its_steps(checkpoint: Path, here: Path) -> None:
    words = [sys.executable, str(ROOT / "run_demo.py"), "--env", "minecraft", "--steps", "6"]
    done = subprocess.run(
        [*words, "--checkpoint", str(checkpoint), "--report", str(here / "r.json")],
        env=_environment(SDL_VIDEODRIVER="dummy", SDL_AUDIODRIVER="dummy"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((here / "r.json").read_text())
    assert report["steps"] == 6
    assert report["dreams"]["memory"]["history_from"] == "dream"


# -- one sentence for every wrong input ------------------------------------------------------------


def test_an_unknown_env_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "found quake" in _refused(capsys, "--env", "quake")
    assert "gym:ENV_ID" in _refused(capsys, "--env", "gym:")


def test_a_backend_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "minerl" in _refused(capsys, "--env", "minecraft", "--backend", "minerl")


def test_a_backend_of_another_family_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    told = _refused(capsys, "--env", "dmlab", "--headless", "--backend", "luanti")
    assert "embedded, deepmind_lab" in told and "found luanti" in told


def test_a_recording_of_another_backend_is_refused(
    checkpoint: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    meta = {"env_id": "worldsim/Luanti-v0", "env_kwargs": {}, "backend": "luanti", "family": "minecraft"}
    meta |= {"seed": 0, "size": 64, "action_spec": spec(space("minecraft"), "minecraft")}
    writer = EpisodeWriter(here, "forest", meta)
    frame = np.zeros((64, 64, 3), np.uint8)
    writer.first(frame, np.zeros(5))
    writer.add(space("minecraft").sample(), frame, np.zeros(5), 0.0, False, False)
    words = ("--env", "minecraft", "--headless", "--replay", writer.seal(), "--checkpoint", checkpoint)
    assert "--backend luanti" in _refused(capsys, *words)


def test_a_picture_that_the_dream_cannot_show_is_refused(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--env", "minecraft", "--headless", "--checkpoint", checkpoint)
    assert "expected 32, which this dream can show, found 48" in _refused(capsys, *words, "size=48")
    assert "expected 64 or a multiple" in _refused(capsys, "--env", "minecraft", "--headless", "size=96")


def test_a_window_shows_what_is_remembered_twice_as_sharp() -> None:
    source = Source("blocks", load("blocks"))
    assert source.size == 64
    played = parse(["--env", "minecraft"])
    assert side(played, source) == 128
    assert side(parse(["--env", "minecraft", "--record", "here"]), source) == 64  # to train on
    assert side(parse(["--env", "minecraft", "--headless"]), source) == 64
    assert side(parse(["--env", "minecraft", "--headless", "size=192"]), source) == 192
    assert side(played, source, recorded=64) == 64
    assert side(played, None) == 64


def test_a_dream_is_called_by_the_method_that_it_plays_by() -> None:
    for word, called in (
        ("method=", "memory"),
        ("method=rolling", "rolling"),
        (f"method={shipped.METHODS / 'fifo.yaml'}", "fifo"),
    ):
        assert name(parse(["--env", "dmlab", word]), Source("somewhere")) == called


def test_a_misspelt_config_key_is_refused_with_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'history'" in _refused(capsys, "--env", "minecraft", "--headless", "histroy=8")


@pytest.mark.parametrize(
    "words",
    [
        ["--headless", "history=long"],
        ["--headless", "denoising_steps=0"],
        ["--headless", "--policy", "keyboard"],
        ["--headless", "--steps", "0"],
        ["--headless", "--seed", "-1"],
        ["--headless", "--device", "tpu"],
        ["--headless", "--replay", "x.zip", "--policy", "needle"],
    ],
)
def test_values_that_can_not_be_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    _refused(capsys, "--env", "minecraft", *words)


def test_bad_words_are_told_before_anything_heavy_is_imported() -> None:
    words = {
        "method=roling": "did you mean 'rolling'",
        "method=mine.yaml": "no such file",
        "engine=onx": "expected one of auto, tensorrt",
        "precision=fp8": "expected one of auto, fp32",
        "--device gpu": "found 'gpu'",
        "--env minecrft": "expected an --env",
        "--env gym:Nope-v0": "cannot be made",
        "histroy=3": "did you mean 'history'",
        "keys=mine.yaml": "no such file",
        "--checkpoint blokcs": "or one of blocks, ",
        "--replay nowhere.zip": "no such file",
        "--bookmark nowhere": "no such file",
    }
    script = (
        "import sys, run_demo; from worldsim.cli.compile_ahead import subprocess; del subprocess.Popen\n"
        f"for words in {list(words)}: run_demo.main(['--env', 'minecraft', '--headless', *words.split()])\n"
        "print({'torch', 'numba', 'pygame', 'worldsim.checkpoint', 'worldsim.engine'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=_environment(), capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.stdout == "set()\n", done.stderr
    for line, expected in zip(done.stderr.splitlines(), words.values(), strict=True):
        assert line.startswith("error: ") and expected in line


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for kernels that are still being compiled."""

    def waited(_: CompileAhead) -> None:
        raise AssertionError("waited for kernels")

    monkeypatch.setattr(CompileAhead, "wait", waited)


@pytest.mark.usefixtures("impatient")
def test_a_missing_checkpoint_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nowhere" in _refused(capsys, "--env", "minecraft", "--headless", "--checkpoint", "nowhere")


def test_a_truncated_checkpoint_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = small_checkpoint(here / "cut") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    _refused(capsys, "--env", "minecraft", "--headless", "--checkpoint", here / "cut")


@pytest.mark.usefixtures("impatient")
def test_a_foreign_checkpoint_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "foreign").mkdir()
    (here / "foreign" / "config.yaml").write_text("layers: 12\n")
    _refused(capsys, "--env", "minecraft", "--headless", "--checkpoint", here / "foreign")


@pytest.mark.usefixtures("impatient")
def test_a_checkpoint_of_the_other_family_is_refused_and_both_are_named(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = _refused(capsys, "--env", "dmlab", "--headless", "--checkpoint", checkpoint)
    assert "minecraft" in told
    assert "dmlab" in told


@pytest.mark.usefixtures("impatient")
def test_an_episode_of_another_action_spec_is_refused(
    checkpoint: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    meta = {"env_id": "worldsim/LabMaze-v0", "env_kwargs": {}, "seed": 1, "size": 32, "family": "dmlab"}
    meta["action_spec"] = spec(space("dmlab"), "dmlab")
    writer = EpisodeWriter(here, "other", meta)
    frame = np.zeros((32, 32, 3), np.uint8)
    writer.first(frame, np.zeros(5))
    writer.add(np.zeros(7, np.int32), frame, np.zeros(5), 0.0, False, False)
    told = _refused(
        capsys, "--env", "minecraft", "--headless", "--replay", writer.seal(), "--checkpoint", checkpoint
    )
    assert "dmlab" in told
    assert "minecraft" in told


def test_a_file_that_is_no_episode_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "notes.zip").write_bytes(b"not a zip")
    _refused(capsys, "--env", "minecraft", "--headless", "--replay", here / "notes.zip")
    _refused(capsys, "--env", "minecraft", "--headless", "--replay", here / "missing.zip")


@pytest.mark.parametrize("option", ["--report", "--video", "--record"])
def test_where_nothing_can_be_written_is_refused_before_the_run(
    option: str, checkpoint: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "file").write_text("a file, no folder")  # root may write everywhere, but not below a file
    words = ("--env", "minecraft", "--headless", "--steps", 3, "--checkpoint", checkpoint)
    assert "file" in _refused(capsys, *words, option, here / "file" / "x")


@pytest.mark.parametrize("option", ["--report", "--video"])
@pytest.mark.usefixtures("here")
def test_a_folder_that_is_not_there_is_named_before_the_dream_is_loaded(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--env", "minecraft", "--headless", "--checkpoint", "nowhere", option, "runs/first/x")
    assert "there is no folder runs/first" in _refused(capsys, *words)


def test_help_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert _demo("--help") == 0
    assert "--history-from" in capsys.readouterr().out
