"""Reading checkpoints: every file is opened here, checked, and refused in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from worldsim.actions import ActionSpecDamaged
from worldsim.checkpoint import building, tensor_file
from worldsim.checkpoint.folders import CONFIG, WEIGHTS, CheckpointError, resolve
from worldsim.checkpoint.formats import FORMAT, KEYS, renamed
from worldsim.checkpoint.kinds import KINDS, Description
from worldsim.checkpoint.loaded import Loaded, LoadedModel
from worldsim.config import ArVaeConfig, AutoencoderConfig, ConfigError
from worldsim.config import load as load_config
from worldsim.config.addresses import StoreError, here
from worldsim.models.ar_diffusion import ArDiffusion
from worldsim.models.autoencoders.ar_vae import ArVae
from worldsim.models.autoencoders.conv import ConvAutoencoder
from worldsim.models.video_model import VideoModel

DAMAGE = (
    *(SafetensorError, RuntimeError, OSError, MemoryError, ArithmeticError, AssertionError),
    *(LookupError, TypeError, ValueError, AttributeError),
)
"""What the libraries raise over a damaged checkpoint, or over a model of sizes that do not go together."""

C = TypeVar("C")
A = TypeVar("A", bound=nn.Module)


@overload
def load(
    name_or_path: str, device: torch.device | str = "cpu", kind: Literal["world"] = "world"
) -> LoadedModel: ...
@overload
def load(name_or_path: str, device: torch.device | str = "cpu", *, kind: str | None) -> Loaded[Any]: ...
def load(name_or_path: str, device: torch.device | str = "cpu", kind: str | None = "world") -> Loaded[Any]:
    """Load a model, ready to dream: by the path of a folder, the name of a shipped one, or an id on the hub.

    ``kind``: one of :data:`KINDS`, a world model unless told otherwise; None takes any.

    Raises:
        CheckpointError: missing, truncated, foreign, of another kind or newer than this program; one sentence.
    """
    folder, description = describe(name_or_path)
    found = KINDS.get(description.kind)
    if found is None or kind not in (None, description.kind):
        use = found.use if found else "which this program does not know"
        raise CheckpointError(f"{folder} holds a model of kind {description.kind}, {use}")
    model = _filled(folder, lambda: found.model(getattr(description, found.field)))
    return Loaded(model.to(device).eval(), description, folder)


def load_any(name_or_path: str, device: torch.device | str = "cpu") -> Loaded[Any]:
    """:func:`load` of any kind."""
    return load(name_or_path, device, kind=None)


def load_video(name_or_path: str, device: torch.device | str = "cpu") -> Loaded[VideoModel]:
    """:func:`load` of a video model, which any method can play."""
    return load(name_or_path, device, kind="video")


def load_ar_diffusion(name_or_path: str, device: torch.device | str = "cpu") -> Loaded[ArDiffusion]:
    """:func:`load` of an AR-Diffusion model."""
    return load(name_or_path, device, kind="ar_diffusion")


def describe(name_or_path: str) -> tuple[Path, Description]:
    """The folder of a checkpoint and what its config.yaml says, without its weights.

    Raises:
        CheckpointError: missing, foreign or newer than this program.
    """
    folder = resolve(name_or_path)
    try:
        description = load_config(Description, [], folder / CONFIG, KEYS)
        fields = {name: kind.field for name, kind in KINDS.items()}
        building.check_described(asdict(description), fields, folder / CONFIG)
    except (ConfigError, building.TooLarge, ActionSpecDamaged) as error:
        raise CheckpointError(f"{folder} is no checkpoint of this program: {error}") from None
    if description.format > FORMAT:
        raise CheckpointError(
            f"{folder} has format {description.format}, newer than the {FORMAT} this program reads; update worldsim"
        )
    return folder, description


def weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint folder by name, as it is now, in single precision.

    Raises:
        CheckpointError: there are none, the file is truncated, or they are not those that were saved.
    """
    try:
        with safe_open(folder / WEIGHTS, "pt") as f:
            tensors: dict[str, Tensor] = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118
            metadata = f.metadata()
        tensor_file.check(tensors, metadata)
        return {renamed(k): v.float() for k, v in tensors.items()}
    except FileNotFoundError:
        raise CheckpointError(f"{folder} has no {WEIGHTS}; fetch the checkpoint again") from None
    except DAMAGE as error:
        reason = mismatch(error)
        raise CheckpointError(
            f"{folder / WEIGHTS} is not whole ({reason}); fetch or train it again"
        ) from None


def owned(model: nn.Module) -> dict[str, Tensor]:
    """The weights that a checkpoint holds: all but those that a library has."""
    elsewhere = getattr(model, "kept_elsewhere", "")
    return {k: v for k, v in model.state_dict().items() if not elsewhere or not k.startswith(elsewhere)}


def mismatch(error: Exception) -> str:
    """The first thing that weights of another shape are said to lack or to have, of torch's many lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return next((line for line in lines[1:]), lines[0])[:200]


def _filled(folder: Path, build: Callable[[], A]) -> A:
    tensors = weights(folder)
    try:
        with building.no_larger_than(folder / WEIGHTS):
            model = build()
        rest = model.state_dict().keys() - owned(model).keys()
        model.load_state_dict(tensors | {k: v for k, v in model.state_dict().items() if k in rest})
    except DAMAGE as error:
        raise CheckpointError(
            f"{folder / WEIGHTS} does not hold the weights that {CONFIG} and this version of worldsim expect "
            f"({mismatch(error)}); fetch or train it again"
        ) from None
    return model


def load_autoencoder(path: Path | str) -> tuple[ConvAutoencoder, AutoencoderConfig]:
    """The convolutional autoencoder that :func:`save_autoencoder` wrote, by the path or the address of its file.

    Raises:
        CheckpointError: no such file, or one that holds something else.
    """
    return _autoencoder(path, "autoencoder", AutoencoderConfig, ConvAutoencoder)


def load_ar_vae(path: Path | str) -> tuple[ArVae, ArVaeConfig]:
    """The AR-VAE that :func:`save_autoencoder` wrote, by the path or the address of its file.

    Raises:
        CheckpointError: no such file, or one that holds something else.
    """
    return _autoencoder(path, "ar_vae", ArVaeConfig, ArVae)


def _autoencoder(
    name: Path | str, kind: str, configure: Callable[..., C], build: Callable[[C], A]
) -> tuple[A, C]:
    try:
        path = here(name)
    except StoreError as error:
        raise CheckpointError(str(error)) from None
    try:
        with safe_open(path, "pt") as f:
            metadata = f.metadata()
            tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118
        tensor_file.check(tensors, metadata)
        sizes = json.loads(metadata[kind])
        building.check_numbers(sizes)
        config = configure(**sizes)
        with building.no_larger_than(path):
            model = build(config)
        model.load_state_dict(tensors)
    except FileNotFoundError:
        raise CheckpointError(
            f"no {kind} at {path}; train one with `worldsim train {kind.replace('_', '-')}`"
        ) from None
    except DAMAGE as error:
        reason = mismatch(error)
        raise CheckpointError(
            f"{path} holds no whole {kind} ({reason}); train it again or fetch it again"
        ) from None
    return model.eval(), config
