"""Writing checkpoints: folders of models, and files of autoencoders."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from torch import Tensor

from worldsim.checkpoint import tensor_file
from worldsim.checkpoint.folders import CONFIG, WEIGHTS
from worldsim.checkpoint.formats import FORMAT
from worldsim.checkpoint.kinds import KINDS, Description
from worldsim.checkpoint.reading import owned
from worldsim.config import ArVaeConfig, AutoencoderConfig
from worldsim.models.ar_diffusion import ArDiffusion
from worldsim.models.autoencoders.ar_vae import ArVae
from worldsim.models.autoencoders.conv import ConvAutoencoder
from worldsim.models.video_model import VideoModel
from worldsim.models.world_model import WorldModel


def save_autoencoder(
    path: Path, autoencoder: ConvAutoencoder | ArVae, config: AutoencoderConfig | ArVaeConfig
) -> None:
    """One file: the weights, with the configuration in its header."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in autoencoder.state_dict().items()}
    kind = "ar_vae" if isinstance(autoencoder, ArVae) else "autoencoder"
    tensor_file.write(path, tensors, {kind: json.dumps(asdict(config))})


def save(folder: Path, model: WorldModel | VideoModel | ArDiffusion, facts: dict[str, Any]) -> None:
    """Write a checkpoint folder; large weights in half precision, which a dream does not notice.

    ``facts`` fill :class:`Description`. A card beside them is written by whoever measured the model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: _compact(v.detach().cpu()).contiguous() for k, v in owned(model).items()}
    name, kind = next((name, kind) for name, kind in KINDS.items() if kind.model is type(model))
    shape: dict[str, Any] = {kind.field: model.config} | ({} if name == "world" else {"kind": name})
    description = OmegaConf.structured(Description(**{**facts, **shape, "format": FORMAT}))
    others = [other.field for other in KINDS.values() if other is not kind]
    written = OmegaConf.masked_copy(description, [k for k in description if k not in others])
    new = folder / (CONFIG + ".new")
    new.write_text(OmegaConf.to_yaml(written))
    tensor_file.write(folder / WEIGHTS, tensors, {"format": str(FORMAT)})
    new.replace(folder / CONFIG)


def _compact(weight: Tensor) -> Tensor:
    """Half precision for what is large; statistics and turns, summed up over a walk, stay exact."""
    return weight.half() if weight.numel() > 4096 else weight
