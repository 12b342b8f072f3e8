"""One command from recordings to a checkpoint that plays: what it leaves, and that a kill loses nothing done."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import struct
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.helpers.small_run import SMALL_AUTOENCODER, SMALL_DENOISER, record
from training.loop.progress import listening, preparation
from training.pipeline import plan
from training.pipeline.__main__ import for_stages, main
from training.pipeline.display import Display, clock
from training.pipeline.run import Run, budget
from training.pipeline.state import State
from training.pipeline.worlds import find
from training.train import autoencoder as train_autoencoder
from training.train import denoiser as train_denoiser
from training.train import generator as train_generator
from worldsim import checkpoint
from worldsim.config import ConfigError, load

SMALL = [
    "minutes=1",
    *(f"{stage}.steps=2" for stage in ("autoencoder", "memory", "odometry", "pixels", "generator")),
    *(f"autoencoder.{word}" for word in [*SMALL_AUTOENCODER, "batch=4"]),
    *(f"memory.{word}" for word in [*SMALL_DENOISER, "reads.batch=2"]),
    *("odometry.batch=2", "odometry.length=6", "pixels.walks=2", "pixels.batch=2", "pixels.head_start=1"),
    *("generator.generator.width=32", "generator.generator.depth=1", "generator.generator.heads=2"),
    *("generator.clip.batch=2", "generator.clip.length=6"),
]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("recordings"), episodes=3, steps=40)


def test_recordings_become_a_dream_and_a_kill_costs_nothing_that_was_done(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(recordings), f"out={tmp_path / 'run'}", *SMALL]

    def killed(words: list[str]) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(train_denoiser, "main", killed)
        assert main(words) == 130
    told = json.loads((tmp_path / "run" / "pipeline.json").read_text())["stages"]
    assert "reached" in told["autoencoder"] and "reached" not in told["memory"]
    assert (tmp_path / "run" / "autoencoder" / "autoencoder.safetensors").exists()
    capsys.readouterr()

    def again(words: list[str]) -> int:
        raise AssertionError("what has ended is not done again")

    monkeypatch.setattr(train_autoencoder, "main", again)
    assert main(words) == 0
    made = tmp_path / "run" / "checkpoint"
    model = checkpoint.load(str(made)).model
    assert model.config.generates and model.config.pixels and model.config.size == 32
    assert (made / "strips.png").exists()
    card, shown = (made / checkpoint.CARD).read_text(), capsys.readouterr()
    play = f"worldsim play --env dmlab --checkpoint {made}"
    assert play in card and shown.out.rstrip().endswith(play)
    for stage in ("autoencoder", "memory", "odometry", "pixels", "walks", "generator"):
        assert f"- {stage}, " in card and f"  {stage} " in shown.err
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert 0 < scores["ahead"]["dream"]["1"]["ssim"]["mean"] < 1
    assert "held_out" in (tmp_path / "run" / "log.txt").read_text()  # what the stages print
    assert len(list((tmp_path / "run" / "latents").glob("*.npy"))) == 3  # encoded once, for every stage
    assert not list((tmp_path / "run").glob("*/latents"))

    monkeypatch.setattr(train_denoiser, "main", again)
    assert main(words) == 0  # done: it says again how to play it
    assert capsys.readouterr().out.rstrip().endswith(play)
    assert main([*words, "seed=1"]) == 2
    assert "begun with seed=0" in capsys.readouterr().err


def test_a_world_that_tells_no_pose_takes_the_path_that_needs_none(recordings: Path, tmp_path: Path) -> None:
    config = plan.Config(minutes=1)

    def names(world: str) -> list[str]:
        return [stage.name for stage in plan.stages(find(world), config, tmp_path, {})]

    posed = ["autoencoder", "memory", "odometry", "pixels", "walks", "generator"]
    assert names("gym:CartPole-v1") == ["collect", "autoencoder", "memory"]
    assert names("labmaze") == names("luanti") == ["collect", *posed]
    assert names(str(recordings)) == posed
    short = record(tmp_path / "short", episodes=2, steps=20)
    assert names(str(short)) == ["autoencoder", "memory"]


def test_a_short_run_without_a_gpu_trains_small_networks_and_looks_at_nothing_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def widths(minutes: float, device: str) -> list[int]:
        monkeypatch.setattr(plan, "pick_device", lambda _: torch.device(device))
        config = plan.Config(minutes=minutes)
        stages = {s.name: s for s in plan.stages(find("labmaze"), config, tmp_path, {})}
        memory = load(train_denoiser.Config, stages["memory"].given(30.0))
        generator = load(train_generator.Config, stages["generator"].given(100.0))
        assert memory.sample_every > 1000
        return [memory.denoiser.width, generator.generator.width]

    assert widths(5, "cpu") == [128, 128]
    (_, _, memory) = plan.stages(find("gym:CartPole-v1"), plan.Config(minutes=5), tmp_path, {})
    assert load(train_denoiser.Config, memory.given(100.0)).clip.length == 8  # its episodes are short
    assert widths(5, "cuda") == widths(60, "cpu") == [192, 256]


def test_what_comes_before_training_is_of_the_time_of_a_stage_and_not_of_a_command_alone() -> None:
    assert preparation(100.0) == 0.0
    with listening(lambda share, numbers: None):
        time.sleep(0.02)
        assert 0.02 <= preparation(100.0) < 50.0
        assert preparation(0.02) == 0.01  # half is training
    assert preparation(100.0) == 0.0


def test_it_plays_where_it_was_trained() -> None:
    made = Path("runs/it is/checkpoint")
    assert find("luanti").play(made) == (
        'worldsim play --env minecraft --backend luanti --checkpoint "runs/it is/checkpoint"'
    )
    assert find("gym:CartPole-v1").play(Path("c")) == "worldsim play --env gym:CartPole-v1 --checkpoint c"
    assert find("blocks").scene_scale == 4 and find("labmaze").scene_scale == 1


def test_what_one_stage_takes_too_long_is_taken_from_the_later_ones(tmp_path: Path) -> None:
    world, config = find("gym:CartPole-v1"), plan.Config(minutes=10)
    stages = plan.stages(world, config, tmp_path, {})
    work, state = Run(world, config, tmp_path, "", stages), State(tmp_path, {})
    shares = [stage.share for stage in stages] + [plan.SCORE_SHARE]
    assert budget(work, state, 0) == pytest.approx(600 * shares[0] / sum(shares))
    assert state.begin("collect", 60) == 60
    state.took("collect", 300)
    assert budget(work, state, 1) == pytest.approx(300 * shares[1] / sum(shares[1:]))
    again = State(tmp_path, {})
    assert again.begin("collect", 10) == 60 and again.spent("collect") == 300  # as it was begun
    state.took("collect", 900)
    assert budget(work, state, 1) == 1
    (tmp_path / "pipeline.json").write_text("{")
    with pytest.raises(ConfigError, match="damaged"):
        State(tmp_path, {})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "hours=1"], "found 'nowhere'"),
        (["hours=1"], "a world first"),
        (["labmaze"], "hours=H or minutes=M"),
        (["labmaze", "hours=1", "minutes=1"], "not both"),
        (["labmaze", "hours=inf"], "hours: expected a number above 0, found inf"),
        (["labmaze", "hours=nan"], "hours: expected a number above 0"),
        (["labmaze", "minutes=-3"], "minutes: expected a number above 0"),
        (["labmaze", "hours=-1", "minutes=0.3"], "not both"),
        (["labmaze", "minutes=1", "precision=fp8"], "precision: expected one of"),
        (["labmaze", "minutes=1", "threads=-1"], "threads: expected at least 0"),
        (["labmaze", "minutes=1", "workers=-1"], "workers: expected at least 0"),
        (["labmaze", "minutes=1", "size=60"], "size: expected a multiple of 8 from 8 to 1024"),
        (["labmaze", "minutes=1", "size=4096"], "size: expected a multiple of 8 from 8 to 1024"),
        (["labmaze", "minutes=1", "steps=20"], "steps: expected at least 32, which pixels needs, found 20"),
        (["labmaze", "minutes=1", "memory.out=x"], "memory.out follows from the run"),
        (["labmaze", "minutes=1", "generator.walks=x"], "generator.walks follows from the run"),
        (["labmaze", "minutes=1", "generator.clip.bath=2"], "did you mean 'clip.batch'"),
        (["gym:CartPole-v1", "minutes=1", "pixels.walks=2"], "no stage 'pixels'"),
    ],
)
def test_a_mistake_is_one_sentence_before_anything_is_made(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert said in told
    assert not list(tmp_path.iterdir())


def test_words_for_a_stage_begin_with_its_name() -> None:
    own, asked = for_stages(["hours=1", "generator.clip.batch=4", "generator.steps=3", "out=a.b"])
    assert own == ["hours=1", "out=a.b"]
    assert asked == {"generator": ["clip.batch=4", "steps=3"]}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a pseudo-terminal")
def test_on_a_narrow_terminal_the_time_left_is_seen_and_nothing_wraps() -> None:
    import fcntl
    import pty
    import termios

    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    with os.fdopen(end, "w") as stream, Display(3600, stream) as display:
        display.stage("2/3", "memory")
        display.reached(0.25, dict.fromkeys(("loss", "denoise", "guess", "odometry"), 0.5))
        display._refresh()
    written = b""
    with contextlib.suppress(OSError):  # which ends it; one read may give the first part alone
        while part := os.read(terminal, 65536):
            written += part
    os.close(terminal)
    shown = [line for line in re.split(r"[\r\n]+", written.decode()) if "memory" in line]
    assert "2/3 memory" in shown[-1] and "left, 25%" in shown[-1]
    assert max(map(len, shown)) <= 60


def test_where_there_is_no_terminal_lines_say_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.pipeline.display.EVERY", 0.0)
    stream = io.StringIO()
    with Display(3600, stream) as display:
        display.reached(0.25, {"step": 12.0, "loss": 0.5})
        display.stage("2/3", "memory")
        display.reached(0.25, {"step": 12.0, "loss": 0.5})
        display._refresh()
    assert "2/3 memory: 1h00 left, 25%, step 12, loss 0.500" in stream.getvalue()
    assert [clock(x) for x in (5, 65, 3661)] == ["0:05", "1:05", "1h01"]
