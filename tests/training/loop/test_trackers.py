"""Watching a run: by TensorBoard as ever, by Accelerate's trackers with one word, or by nobody."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker, on_main_process
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from training.loop import trackers
from training.loop.adamw import OptimizerConfig
from training.loop.launch import launch
from training.loop.trackers import TrackerError, Writer
from training.loop.train import LoopConfig, train


class Notes(GeneralTracker):
    """Accelerate's own way to a tracker of one's own; this one keeps what it is told."""

    name, requires_logging_directory = "notes", False

    def __init__(self) -> None:
        super().__init__()
        self.scalars: list[tuple[dict[str, Any], int | None]] = []
        self.pictures: dict[str, np.ndarray] = {}
        self.config: dict[str, Any] = {}
        self.finished = False

    @property
    def tracker(self) -> Notes:
        return self

    @on_main_process
    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.config = values

    @on_main_process
    def log(self, values: dict[str, Any], step: int | None = None, **more: Any) -> None:
        self.scalars.append((values, step))

    @on_main_process
    def log_images(self, values: dict[str, Any], step: int | None = None, **more: Any) -> None:
        self.pictures |= {tag: pictures[0] for tag, pictures in values.items()}

    @on_main_process
    def finish(self) -> None:
        self.finished = True


def _trained(config: LoopConfig, accelerator: Accelerator) -> None:
    def sample(module: nn.Module, writer: Writer, step: int) -> None:
        writer.add_scalar("held_out/loss", torch.tensor(0.5), step)
        writer.add_image("shown", np.zeros((4, 6, 3), np.uint8), step, dataformats="HWC")
        writer.add_images("shown_too", torch.zeros(2, 3, 4, 6), step)

    model = nn.Linear(2, 1)
    loss = lambda m, step: {"loss": m(torch.ones(1, 2)).square().sum()}  # noqa: E731
    train(model, loss, accelerator, OptimizerConfig(), config, sample)


def _config(out: Path, **more: Any) -> LoopConfig:
    return LoopConfig(data="none", out=str(out), threads=1, steps=4, log_every=2, sample_every=-1.0, **more)


def test_a_tracker_of_accelerate_gets_losses_pictures_and_the_words_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = Notes()
    monkeypatch.setitem(trackers.NEEDED, "notes", "accelerate")
    config = _config(tmp_path, tracker="notes")
    _trained(config, Accelerator(log_with=notes, cpu=True))
    steps = [step for values, step in notes.scalars if "train/loss" in values]
    assert steps == [0, 2] and all(
        isinstance(v, float) for values, _ in notes.scalars for v in values.values()
    )
    assert ({"held_out/loss": 0.5}, 0) in notes.scalars
    assert notes.pictures["shown"].shape == (4, 6, 3) and notes.pictures["shown_too"].shape == (4, 12, 3)
    assert notes.config["steps"] == 4 and notes.config["tracker"] == "notes" and notes.finished
    assert not (tmp_path / "tensorboard").exists()


def test_tensorboard_is_what_it_was_and_none_writes_nothing(tmp_path: Path) -> None:
    for tracker, files in (("tensorboard", 1), ("none", 0)):
        config = _config(tmp_path / tracker, tracker=tracker)
        _trained(config, launch(config))
        assert len(list((tmp_path / tracker).glob("tensorboard/events*"))) == files
    assert LoopConfig(data="a", out="b").tracker == "tensorboard"


@pytest.mark.parametrize("saved", [0, 3])
def test_what_is_trained_again_after_a_kill_takes_its_place_in_the_curve(tmp_path: Path, saved: int) -> None:
    config = _config(tmp_path)
    accelerator = launch(config)
    for first, last, value in ((0, 5, 1.0), (saved, 7, 2.0)):
        began, writer = int(time.time()), trackers.open_writer(config, accelerator, first)
        assert writer is not None
        for step in range(first, last):
            writer.add_scalar("train/loss", value, step)
        writer.close()
        # Files are read in the order of their names, which have the second; two starts of a run are never in one.
        while int(time.time()) == began:
            time.sleep(0.02)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    points = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert points == [(step, 1.0 if step < saved else 2.0) for step in range(7)]


def test_a_tracker_that_there_is_not_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        TrackerError, match="expected tracker=tensorboard, wandb, mlflow, none, found tracker=paper"
    ):
        LoopConfig(tracker="paper")
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(TrackerError, match="tracker=wandb needs wandb, which is not here: pip install wandb"):
        launch(LoopConfig(tracker="wandb"))


def test_mlflow_keeps_what_it_was_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs mlflow: pip install mlflow-skinny")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    config = _config(tmp_path / "run", tracker="mlflow")
    _trained(config, launch(config))
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.info.run_name == "run" and run.data.params["steps"] == "4" and run.info.status == "FINISHED"
    points = mlflow.MlflowClient().get_metric_history(run.info.run_id, "train/loss")
    assert sorted(point.step for point in points) == [0, 2]


def test_weights_and_biases_keeps_what_it_was_sent_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb", reason="needs wandb: pip install wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = _config(tmp_path / "run", tracker="wandb")
    _trained(config, launch(config))
    assert wandb.run is None, "the run has ended"
    wandb.teardown()  # what its own process has not written yet
    (file,) = tmp_path.glob("run/wandb/offline-run-*/run-*.wandb")
    kept = file.read_bytes()  # records of a log that is not compressed
    assert kept.count(b"train/loss") >= 2 and b"held_out/loss" in kept and b"log_every" in kept
    assert len(list(tmp_path.glob("run/wandb/offline-run-*/files/media/images/shown*.png"))) == 8
