"""The dreams that the options ask for, and what a report says about them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from worldsim import checkpoint
from worldsim.actions import ActionSpec
from worldsim.cli.options import Options
from worldsim.config.hardware import ENGINE_PRECISIONS
from worldsim.diffusion.methods import method
from worldsim.dream import registry
from worldsim.dream.context import check_size
from worldsim.dream.registry import PAIR, Source
from worldsim.engine.select import chosen
from worldsim.runtime import hardware, pick_device, precision, use_threads, why_there
from worldsim.session.dreams import FORGETFUL, MEMORY
from worldsim.session.interfaces import Dream

SHIPPED = {"minecraft": "blocks", "dmlab": "labmaze"}  # the checkpoint of each family's embedded world
FOR_METHODS = {"minecraft": "blocks_methods", "dmlab": "labmaze_methods"}  # the video model that methods play
PAIRS = {"minecraft": "blocks_ar_diffusion", "dmlab": "labmaze_ar_diffusion"}  # of method=ar_diffusion
PICTURE = 64  # side of a world's pictures where no dream says it
SHARPER = 2  # times the model's picture is what a window shows, where what is remembered are pixels

TRAINING = """\
No dream of {env} is shipped, so the true world plays alone; to train one and play it:
  worldsim train {env} hours=3
  worldsim play --env {env} --checkpoint runs/{slug}/checkpoint"""


def load(
    options: Options, recorded: int | None = None, action_spec: ActionSpec | None = None
) -> tuple[Source, Callable[[], Dream]] | None:
    """Where dreams come from, and what makes one; they share the weights. None, and how to train one in words, where no
    checkpoint is given and none is shipped.

    Args:
        recorded: the side of the pictures that are replayed, pixels.
        action_spec: the language of the world, for models that say none.

    Raises:
        CheckpointError, DeviceError, DreamError, MethodError: it is not there, not whole, or was not trained for this.
        ModelFailed: a model that is not ours does not import.
    """
    config = options.config
    if options.checkpoint is None and options.world not in SHIPPED:
        print(TRAINING.format(env=options.env, slug=options.slug))
        return None
    use_threads(config.threads)
    source = registry.find(_name(options), pick_device(options.device), config.method)
    video = source.loaded is not None and source.loaded.description.kind == "video"
    played = registry.Options(
        method=method(config.method) if video else None,
        engine=config.engine,
        precision=config.precision,
        second=config.second,
        alone_after=config.alone_after,
        size=side(options, source, recorded),
        action_spec=action_spec,
    )

    def dream() -> Dream:
        return source.dream(
            played,
            history=config.history,
            budget=config.budget,
            denoising_steps=config.denoising_steps,
            pose_from=config.pose_from,
        )

    return source, dream


def side(options: Options, source: Source | None, recorded: int | None = None) -> int:
    """Height and width of the pictures: of those replayed, what was asked for, or what suits dream and window.

    What is recorded to train on is as large as the model's.

    Raises:
        DreamError: a size that this dream cannot show.
    """
    asked = options.config.size
    if recorded is not None:
        return recorded
    if source is None:
        return asked or PICTURE
    if asked is not None:
        if source.loaded is not None:  # whoever else made the model says so when it is made
            check_size(asked, source.size, source.sharper)
        return asked
    window = not options.headless and options.record is None
    return source.size * (SHARPER if source.sharper and window else 1)


def _name(options: Options) -> str:
    """The checkpoint or the model that is asked for, or the one that is shipped for this world and method."""
    if options.checkpoint is not None:
        return options.checkpoint
    if (
        options.config.method == PAIR
        and (checkpoint.SHIPPED / PAIRS[options.env] / checkpoint.CONFIG).is_file()
    ):
        return PAIRS[options.env]
    return (FOR_METHODS if options.config.method else SHIPPED)[options.world]


def name(options: Options, source: Source) -> str:
    """What the dream is called in a window, a page, a video and a report: its method's name where it plays by one."""
    pair = source.loaded is not None and source.loaded.description.kind == PAIR
    played = PAIR if pair else Path(options.config.method).stem
    return MEMORY if played in ("", FORGETFUL) else played  # a file forgetful.yaml is not the twin


def world_version(source: Source | None) -> int | None:
    """The version of the world that a checkpoint was trained in, where it says one."""
    return (source.loaded.description.env_version or None) if source and source.loaded else None


def where(options: Options, source: Source) -> str:
    """One line: which dream, on which device and why there, in what precision, by which engine."""
    if source.link is not None:
        return f"{source.link.about['title']} at {source.name}, on {source.device}"
    line = f"dream: {source.name} on {source.device}, {hardware(source.device)}"
    if options.device == "auto":
        line += f" ({why_there(source.device)})"
    if source.loaded is None or source.loaded.description.kind != "world":
        return line
    products = precision(options.config.precision, source.device, ENGINE_PRECISIONS)
    engine = options.config.engine
    engine = chosen(source.loaded.model) if engine == "auto" else engine
    return f"{line}; {products} products, engine {engine}"


def about(options: Options, source: Source | None, seed: int) -> dict[str, Any]:
    """The head of the report; ``context`` is how many true frames a dream begins from."""
    loaded = source.loaded if source else None
    weights = next(loaded.model.parameters()) if loaded else torch.zeros(())
    played = {"method": options.config.method} if options.config.method else {}
    return {
        "env": options.env,
        "backend": options.backend,
        "seed": seed,
        "steps": 0,
        "device": str(source.device if source and not loaded else weights.device),
        "threads": torch.get_num_threads(),
        "dtype": str(weights.dtype).removeprefix("torch."),
        "checkpoint": source.name
        if source and source.link
        else options.checkpoint or (loaded.path.name if loaded else None),
        **played,
        "context": 1,
    }
