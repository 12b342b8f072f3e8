"""The denoiser's error by noise level on held-out clips: all that Eqn. 10 needs to predict degradation (Figure 10a)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from envs.episodes.episode import Episode
from training.collect_walks import walk_of
from training.data import evidence_clips
from training.data.clips import ClipConfig, draw
from training.data.episodes import latent_episodes, open_episodes
from training.data.walks import Walks
from training.objectives.world_model import Objective, ObjectiveConfig
from training.study import backbones
from training.study.backbones import Backbone
from training.study.config import StudyConfig
from worldsim.checkpoint import Loaded
from worldsim.diffusion.process import corrupt
from worldsim.models.autoencoders.conv import DOWNSAMPLING
from worldsim.models.world_model import WorldModel
from worldsim.runtime import pick_device

LEVELS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.75, 0.9, 1.0)  # training goes no lower than the first
BATCHES = 4
CLIPS = ClipConfig(  # as the dream is played: 104 + 8 frames of true history in 16 latents
    batch=8,
    pasts=(104,),
    past_odds=(1.0,),
    budgets=(16,),
    budget_odds=(1.0,),
    dreamt_odds=0.0,
    returning_odds=0.0,
)


def by_level(config: StudyConfig, world: Backbone) -> dict[str, Any]:
    """Mean squared error of the predicted clean latent after true frames, at each of ``LEVELS``.

    Returns:
        ``levels``, ``x0`` (per value, one a level), ``values`` in a frame and ``clips``, in each of which so many
        ``frames`` count; kept on disk beside the study's other records and measured once for the same weights, episodes
        and seed.
    """
    episodes = open_episodes(config.episodes_folder)[: config.rollouts]
    header = {
        "checkpoint": world.one_mark,
        "episodes": [e.path.stem for e in episodes],
        "seed": config.seed,
    }
    file = config.folder / "units" / "losses-world" / "losses.json"
    if file.exists() and (kept := json.loads(file.read_text()))["header"] == header:
        return dict(kept["found"])
    loaded = backbones.load(world.path, str(pick_device(config.device)))
    measure = _of_generator if loaded.model.config.generates else _of_denoiser
    errors, frames = measure(loaded, episodes, config.seed, file.parent / "latents")
    found = {
        "levels": list(LEVELS),
        "x0": [round(float(e), 6) for e in errors.mean(0)],
        "values": loaded.model.config.autoencoder.channels * (loaded.model.config.size // DOWNSAMPLING) ** 2,
        "clips": len(errors) * CLIPS.batch,
        "frames": frames,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(json.dumps({"header": header, "found": found}))
    new.replace(file)
    return found


@torch.no_grad()
def _of_denoiser(
    loaded: Loaded[WorldModel], episodes: list[Episode], seed: int, cache: Path
) -> tuple[np.ndarray, int]:
    """Errors (batches, levels) over whole clips, and their frames."""
    model = loaded.model
    device = next(model.parameters()).device
    objective = Objective(model, ObjectiveConfig(context_noise=0.0, pose_noise=0.0, picture=0.0)).eval()
    latents = latent_episodes(episodes, model.autoencoder, cache, device, quiet=True)
    errors = np.empty((BATCHES, len(LEVELS)))
    for batch in range(BATCHES):
        for k, level in enumerate(LEVELS):
            clip, noise = draw(latents, CLIPS, seed, batch, 0, device)  # the same at every level
            errors[batch, k] = float(objective(clip, noise, level)["x0"])
    return errors, CLIPS.length


@torch.no_grad()
def _of_generator(
    loaded: Loaded[WorldModel], episodes: list[Episode], seed: int, _: Path
) -> tuple[np.ndarray, int]:
    """Errors (batches, levels) in the frame that comes after a window of true ones, with what memory shows of it."""
    model = loaded.model
    generator, device = model.generator, next(model.parameters()).device
    length = min(len(episode) for episode in episodes)
    rows = [walk_of(loaded, episode, length, model.config.size) for episode in episodes]
    walks = Walks(*(np.stack(column) for column in zip(*rows, strict=True)))
    window = model.config.generator.window
    known = evidence_clips.ClipConfig(
        window, CLIPS.batch, window, odds=[0.0, 0.0, 0.0, 1.0], generated=0.0, shaken=0.0, dropped=0.0
    )
    clips = evidence_clips.Clips([walks], model, known)
    errors = np.empty((BATCHES * CLIPS.length // 4, len(LEVELS)))
    for batch in range(len(errors)):
        c = clips.batch(seed, batch).to(device)
        z = c.latents
        noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(batch)).to(device)
        for k, level in enumerate(LEVELS):
            at = torch.zeros(z.shape[:2], device=device)
            at[:, -1] = level
            x0 = generator(corrupt(z, noise, at), at, c.control, c.evidence, torch.zeros_like(at))
            errors[batch, k] = float((x0[:, -1].float() - z[:, -1]).square().mean())
    return errors, 1
