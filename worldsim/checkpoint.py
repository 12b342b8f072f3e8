"""Trained models on disk: safetensors, the configuration beside them, a card; nothing pickled, ever."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from worldsim.autoencoders.conv import ConvAutoencoder
from worldsim.config import AutoencoderConfig, ConfigError, ModelConfig
from worldsim.config import load as load_config
from worldsim.world_model import WorldModel

FORMAT = 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.yaml", "card.md"
SHIPPED = Path(__file__).resolve().parent.parent / "assets" / "checkpoints"


class CheckpointError(ValueError):
    """A checkpoint that is missing, truncated, foreign or newer than this program."""


def save_autoencoder(path: Path, autoencoder: ConvAutoencoder, config: AutoencoderConfig) -> None:
    """One file: the weights, with the configuration in its header."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in autoencoder.state_dict().items()}
    save_file(tensors, path, metadata={"autoencoder": json.dumps(asdict(config))})


def load_autoencoder(path: Path) -> tuple[ConvAutoencoder, AutoencoderConfig]:
    """What :func:`save_autoencoder` wrote.

    Raises:
        CheckpointError: no such file, or one that holds something else.
    """
    try:
        with safe_open(path, "pt") as f:
            config = AutoencoderConfig(**json.loads(f.metadata()["autoencoder"]))
            tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118
        model = ConvAutoencoder(config)
        model.load_state_dict(tensors)
    except FileNotFoundError:
        raise CheckpointError(
            f"no autoencoder at {path}; train one with `python -m training.train_autoencoder`"
        ) from None
    except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path} holds no whole autoencoder ({reason}); train it again or fetch it again"
        ) from None
    return model.eval(), config


@dataclass
class Description:
    """The contents of a checkpoint's config.yaml."""

    format: int = FORMAT
    env_id: str = ""
    env_version: int = 0
    family: str = ""
    backend: str = ""
    action_spec: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    model: ModelConfig = field(default_factory=ModelConfig)


@dataclass
class LoadedModel:
    """A trained world model and what it says about itself."""

    model: WorldModel
    description: Description
    path: Path

    @property
    def action_spec(self) -> dict[str, Any]:
        """The action language the model was trained on."""
        return self.description.action_spec


def save(folder: Path, model: WorldModel, facts: dict[str, Any]) -> None:
    """Write a checkpoint folder; weights in half precision, which a dream does not notice.

    ``facts`` fill :class:`Description`. A card beside them is written by whoever measured the model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().cpu().half().contiguous() for k, v in model.state_dict().items()}
    save_file(tensors, folder / (WEIGHTS + ".new"), metadata={"format": str(FORMAT)})
    description = OmegaConf.structured(Description(**facts, model=model.config))
    (folder / CONFIG).write_text(OmegaConf.to_yaml(description))
    (folder / (WEIGHTS + ".new")).replace(folder / WEIGHTS)


def resolve(name_or_path: str) -> Path:
    """A shipped checkpoint's folder by name, or any folder by path.

    Raises:
        CheckpointError: neither exists.
    """
    for folder in (Path(name_or_path), SHIPPED / name_or_path):
        if (folder / CONFIG).is_file() or (folder / WEIGHTS).is_file():
            return folder
    shipped = sorted(p.parent.name for p in SHIPPED.glob("*/" + CONFIG)) if SHIPPED.is_dir() else []
    raise CheckpointError(
        f"no checkpoint {name_or_path!r}: expected a folder with {WEIGHTS} and {CONFIG}, or one of {shipped}; "
        "give --checkpoint one of these or train your own"
    )


def load(name_or_path: str, device: torch.device | str = "cpu") -> LoadedModel:
    """Load a checkpoint folder, ready to dream.

    Raises:
        CheckpointError: missing, truncated, foreign or newer than this program; one sentence.
    """
    folder = resolve(name_or_path)
    try:
        description = load_config(Description, [], folder / CONFIG)
    except ConfigError as error:
        raise CheckpointError(f"{folder} is no checkpoint of this program: {error}") from None
    if description.format > FORMAT:
        raise CheckpointError(
            f"{folder} has format {description.format}, newer than the {FORMAT} this program reads; update worldsim"
        )
    try:
        tensors = load_file(folder / WEIGHTS)
        model = WorldModel(description.model)
        model.load_state_dict({k: v.float() for k, v in tensors.items()})
    except FileNotFoundError:
        raise CheckpointError(f"{folder} has no {WEIGHTS}; fetch the checkpoint again") from None
    except (SafetensorError, RuntimeError, OSError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{folder / WEIGHTS}: expected the weights that {CONFIG} describes, found {reason}; fetch or train it again"
        ) from None
    return LoadedModel(model.to(device).eval(), description, folder)
