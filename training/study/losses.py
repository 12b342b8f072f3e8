"""The denoiser's error by noise level on held-out clips: all that Eqn. 10 needs to predict degradation (Figure 10a)."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from training.data.clips import ClipConfig, draw
from training.data.episodes import latent_episodes, open_episodes
from training.objectives.world_model import Objective, ObjectiveConfig
from training.study import backbones
from training.study.backbones import Backbone
from training.study.config import StudyConfig
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
        ``levels``, ``x0`` (per value, one a level), ``values`` in a frame and ``clips``, each of 16 frames; kept on
        disk beside the study's other records and measured once for the same weights, episodes and seed.
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
    device = pick_device(config.device)
    model = backbones.load(world.path, str(device)).model
    objective = Objective(model, ObjectiveConfig(context_noise=0.0, pose_noise=0.0, picture=0.0)).eval()
    latents = latent_episodes(episodes, model.autoencoder, file.parent / "latents", device, quiet=True)
    errors = np.empty((BATCHES, len(LEVELS)))
    with torch.no_grad():
        for batch in range(BATCHES):
            for k, level in enumerate(LEVELS):
                clip, noise = draw(latents, CLIPS, config.seed, batch, 0, device)  # the same at every level
                errors[batch, k] = float(objective(clip, noise, level)["x0"])
    found = {
        "levels": list(LEVELS),
        "x0": [round(float(e), 6) for e in errors.mean(0)],
        "values": int(np.prod(latents[0].latents.shape[1:])),
        "clips": BATCHES * CLIPS.batch,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(json.dumps({"header": header, "found": found}))
    new.replace(file)
    return found
