"""How every command of this package begins and ends: a checkpoint on its device, seeds, and one JSON object."""

from __future__ import annotations

import json
from typing import Any

from tqdm import tqdm

from training.imagination.config import Config, Played
from training.imagination.play import dream_of
from worldsim import checkpoint
from worldsim.checkpoint import Loaded
from worldsim.config.addresses import PICTURES, prepare_output, write_text
from worldsim.dream.world import DreamEnv
from worldsim.models.world_model import WorldModel
from worldsim.runtime import hardware, pick_device, use_threads

UNTOLD = ("out", "cache", "strips", "strips_true")
"""Settings that say where things lie, and nothing about what was measured."""


def opened(config: Played, ending: str = ".json") -> Loaded[WorldModel]:
    """The checkpoint on its device, after the threads are set and the files to be made are found to be possible."""
    prepare_output("out", config.out, ending, store=ending == ".json")
    if isinstance(config, Config):
        prepare_output("strips", config.strips, *PICTURES)
    use_threads(config.threads)
    return checkpoint.load(config.checkpoint, pick_device(config.device))


def actors(loaded: Loaded[WorldModel], config: Played) -> dict[str, DreamEnv]:
    """The dream and its forgetful twin."""
    return {"dream": dream_of(loaded, config), "twin": dream_of(loaded, config, memory=False)}


def seeds(config: Played, what: str, unit: str) -> tqdm[int]:
    """Those of the worlds that are played, with a bar."""
    return tqdm(range(config.first_seed, config.first_seed + config.seeds), what, unit=unit)


def bracketed(row: dict[str, Any], form: str = ".3f") -> str:
    """A mean with its interval in words."""
    return f"{row['mean']:{form}} [{row['low']:{form}}, {row['high']:{form}}]"


def publish(config: Played, loaded: Loaded[WorldModel], found: dict[str, Any]) -> None:
    """Print what was found, with the settings and the hardware, and write it to ``out``."""
    settings = {k: v for k, v in vars(config).items() if k not in UNTOLD}
    result = {"settings": settings, "hardware": hardware(next(loaded.model.parameters()).device), **found}
    if config.out:
        write_text(config.out, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))
