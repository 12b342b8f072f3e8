"""The dreams that the options ask for, and what a report says about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from worldsim import checkpoint
from worldsim.checkpoint import Loaded
from worldsim.cli.options import GYM, Options
from worldsim.diffusion.methods import method
from worldsim.dream.ar_diffusion import ArDream
from worldsim.dream.context import check_size
from worldsim.dream.video import MethodDream
from worldsim.dream.world import DreamEnv
from worldsim.models.world_model import WorldModel
from worldsim.runtime import pick_device
from worldsim.session.interfaces import Dream

SHIPPED = {"minecraft": "blocks", "dmlab": "labmaze"}  # the checkpoint of each family's embedded world
FOR_METHODS = {"minecraft": "blocks_methods", "dmlab": "labmaze_methods"}  # the video model that methods play
PAIR = "ar_diffusion"  # the method that plays a pair of AR-VAE and denoiser, or else its preset a video model
PAIRS = {"minecraft": "blocks_ar_diffusion", "dmlab": "labmaze_ar_diffusion"}
PICTURE = 64  # side of a world's pictures where no dream says it
SHARPER = 2  # times the model's picture is what a window shows, where what is remembered are pixels
STEPS = 2  # denoising steps of a world model, unless told otherwise


TRAINING = """\
No dream of {env} is shipped, so the true world plays alone; to train one and play it:
  python -m training.collect env={env} policy={policy} episodes=100 out=data/{slug}
  python -m training.train_autoencoder data=data/{slug} out=runs/{slug}_ae seconds=900
  python -m training.train_denoiser data=data/{slug} autoencoder=runs/{slug}_ae/autoencoder.safetensors \\
      out=runs/{slug} seconds=3600
  python run_demo.py --env {env} --checkpoint runs/{slug}/checkpoint"""


def load(options: Options, recorded: int | None = None) -> tuple[Loaded[Any], Callable[[], Dream]] | None:
    """The trained model, and what makes a dream of it; dreams share the weights. None, and how to train one in words,
    where no checkpoint is given and none is shipped. ``recorded`` is the side of the pictures that are replayed.

    Raises:
        CheckpointError, DeviceError, DreamError, MethodError: it is not there, not whole, or was not trained for this.
    """
    config = options.config
    if options.checkpoint is None and options.world not in SHIPPED:
        policy = "random" if options.world == GYM else "mixed"
        print(TRAINING.format(env=options.env, policy=policy, slug=options.slug))
        return None
    if config.threads:
        torch.set_num_threads(config.threads)
    device = pick_device(options.device)
    if config.method == PAIR and (pair := _pair(options)):
        trained = checkpoint.load_ar_diffusion(pair, device)

        def by_pair() -> ArDream:
            return _turned(ArDream(trained), options)

        return trained, by_pair
    if config.method:
        played = method(config.method)
        video = checkpoint.load_video(options.checkpoint or FOR_METHODS[options.world], device)

        def by_method() -> MethodDream:
            return _turned(MethodDream(video, played), options)

        return video, by_method
    loaded = checkpoint.load(options.checkpoint or SHIPPED[options.world], device)

    def dream() -> DreamEnv:
        c = options.config
        made = DreamEnv(
            loaded,
            denoising_steps=STEPS,
            second=c.second,
            alone_after=c.alone_after,
            size=side(options, loaded, recorded),
            precision=c.precision,
        )
        return _turned(made, options)

    return loaded, dream


def side(options: Options, loaded: Loaded[Any] | None, recorded: int | None = None) -> int:
    """Height and width of the pictures: of those replayed, what was asked for, or what suits dream and window.

    What is recorded to train on is as large as the model's.

    Raises:
        DreamError: a size that this dream cannot show.
    """
    asked = options.config.size
    if recorded is not None:
        return recorded
    if loaded is None:
        return asked or PICTURE
    model = loaded.model
    sharper = isinstance(model, WorldModel) and model.config.pixels
    if asked is not None:
        check_size(asked, model.config.size, sharper)
        return asked
    window = not options.headless and options.record is None
    return model.config.size * (SHARPER if sharper and window else 1)


def _pair(options: Options) -> str:
    """The checkpoint of an AR-Diffusion pair that is asked for, or shipped where none is; otherwise nothing."""
    name = options.checkpoint or PAIRS[options.env]
    if options.checkpoint is None and not (checkpoint.SHIPPED / name / checkpoint.CONFIG).is_file():
        return ""
    return name if checkpoint.describe(name)[1].kind == PAIR else ""


def _turned(dream: Any, options: Options) -> Any:
    """The dream with every dial that was asked for turned to it."""
    config = options.config
    for dial in ("history", "budget", "denoising_steps"):
        if (value := getattr(config, dial)) is not None:
            setattr(dream, dial, value)
    dream.pose_from = config.pose_from
    return dream


def about(options: Options, loaded: Loaded[Any] | None, seed: int) -> dict[str, Any]:
    """The head of the report; ``context`` is how many true frames a dream begins from."""
    weights = next(loaded.model.parameters()) if loaded else torch.zeros(())
    played = {"method": options.config.method} if options.config.method else {}
    return {
        "env": options.env,
        "backend": options.backend,
        "seed": seed,
        "steps": 0,
        "device": str(weights.device),
        "threads": torch.get_num_threads(),
        "dtype": str(weights.dtype).removeprefix("torch."),
        "checkpoint": (options.checkpoint or loaded.path.name) if loaded else None,
        **played,
        "context": 1,
    }
