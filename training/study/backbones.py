"""The models that rows are played from: found, trained where they are missing and that is asked for, or reported."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch

from training.data.episodes import fingerprint
from training.study.config import StudyConfig
from training.study.rows import BACKBONES, CHANNEL, PREPEND, WORLD
from training.train import video as train_video
from worldsim import checkpoint
from worldsim.checkpoint import CheckpointError, Description, Loaded, save_autoencoder

HISTORIES = [16, 48, 112]
RECIPE = {PREPEND: ("prepend", "joint"), CHANNEL: ("channel", "modulated")}


@dataclass(frozen=True)
class Backbone:
    """A model that is there (``path``, what it says of itself and of its training) or the reason why not.

    ``name`` is what it is called: a shipped checkpoint's name, or its folder. ``mark`` is the fingerprint of its
    weights and when a second denoiser takes over, ``space_mark`` that of its autoencoder alone, ``one_mark`` that of
    all but a second denoiser.
    """

    path: str = ""
    name: str = ""
    mark: str = ""
    space_mark: str = ""
    one_mark: str = ""
    training: str = ""
    missing: str = ""
    about: Description = field(default_factory=Description)


def find(config: StudyConfig) -> dict[str, Backbone]:
    """Every backbone of a world by name."""
    return {name: _find(config, name) for name in BACKBONES}


def train_missing(config: StudyConfig, wanted: set[str]) -> None:
    """Train each wanted video backbone that is not there, ``config.train`` seconds of wall time each.

    History (0 to 112) and budget (8 to 48, or none) are drawn at random, so that both are dials of one model
    afterwards. It begins from the shipped video model's weights where shapes agree. The same command after a kill
    goes on with the training.
    """
    for name in (PREPEND, CHANNEL):
        if name not in wanted or not _find(config, name).missing:
            continue
        run = own_run(config, name)
        run.mkdir(parents=True, exist_ok=True)
        world = checkpoint.load_any(config.checkpoint or config.env)
        autoencoder = run / "autoencoder.safetensors"
        if not autoencoder.exists():
            save_autoencoder(autoencoder, world.model.autoencoder, world.model.config.autoencoder)
        way, compressor = RECIPE[name]
        words = [
            f"data={config.data or f'data/{config.env}'}",
            f"autoencoder={autoencoder}",
            f"out={run}",
            f"seconds={config.train}",
            f"seed={config.seed}",
            f"model.memory.way={way}",
            f"model.memory.compressor={compressor}",
            f"clip.pasts={[0, *HISTORIES]}",
            "clip.past_odds=[0.1,0.3,0.35,0.25]",
            f"objective.lasts={[1, 2, 8, *HISTORIES]}",
        ]
        begin = config.init or f"{config.env}_methods"
        if config.init != "none" and (config.init or (checkpoint.SHIPPED / begin).is_dir()):
            words.append(f"init={begin}")
        words += config.recipe
        status = train_video.main(words)
        if status:
            raise CheckpointError(f"training the {name} backbone ended with {status}")


def own_run(config: StudyConfig, name: str) -> Path:
    """The folder in which a backbone is trained."""
    return config.folder / "backbones" / name


@cache
def load(path: str, device: str) -> Loaded[Any]:
    """A backbone, once a process."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # training sets it too: the same numbers whether it came before or not
    return checkpoint.load_any(path, device)


def _find(config: StudyConfig, name: str) -> Backbone:
    given = {WORLD: config.checkpoint, PREPEND: config.prepend, CHANNEL: config.channel}[name]
    trained = own_run(config, name) / "checkpoint"
    if given:
        place = given
    elif name == WORLD:
        place = config.env
    elif (trained / checkpoint.CONFIG).is_file():
        place = str(trained)
    else:
        place = f"{config.env}_methods"
        if name == CHANNEL and (checkpoint.SHIPPED / f"{config.env}_{name}").is_dir():
            place = f"{config.env}_{name}"
    kind = "world" if name == WORLD else "video"
    try:
        folder, description = checkpoint.describe(place)
        if description.kind != kind:
            raise CheckpointError(f"expected a {kind} model, found a {description.kind} model at {folder}")
        ways = [memory.way for memory in description.video.memories]
        if name in RECIPE and RECIPE[name][0] not in ways:
            raise CheckpointError(f"{folder} has memory by {', '.join(ways)}, not by {RECIPE[name][0]}")
        loaded = checkpoint.load_any(place)
    except CheckpointError as error:
        if given:
            raise
        return Backbone(
            missing=str(error) if name == WORLD else f"no {name} backbone; train=SECONDS trains one"
        )
    model = loaded.model
    # Two checkpoints of the same weights play otherwise where the second denoiser takes over at another time.
    after = f"-{description.model.handover_after}" if name == WORLD and description.model.free_running else ""
    mark, space_mark, one_mark = (
        fingerprint(model) + after,
        fingerprint(model.autoencoder),
        fingerprint(model, without=("free_running.",)),
    )
    facts = description.training.get("generator") or description.training
    trained_for = (
        f"{facts['steps']} steps in {facts['seconds']} s" if "seconds" in facts else "no word of its training"
    )
    return Backbone(str(folder), place, mark, space_mark, one_mark, trained_for, about=description)
