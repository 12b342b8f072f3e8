"""Trained models on disk: safetensors, the configuration beside them, a card; nothing pickled, ever."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from omegaconf import OmegaConf
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from worldsim import building, hub, tensor_file
from worldsim.actions import ActionSpecDamaged
from worldsim.config import ArVaeConfig, AutoencoderConfig, ConfigError, ModelConfig
from worldsim.config import load as load_config
from worldsim.frames import smaller, to_tensor
from worldsim.models.ar_diffusion import ArDiffusion, ArDiffusionConfig
from worldsim.models.autoencoders.ar_vae import ArVae
from worldsim.models.autoencoders.conv import ConvAutoencoder
from worldsim.models.latent_cache import Ahead
from worldsim.models.video_model import VideoModel, VideoModelConfig
from worldsim.models.world_model import WorldModel

FORMAT = 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.yaml", "card.md"
PICKLED = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")
SHIPPED = Path(__file__).resolve().parent.parent / "assets" / "checkpoints"


DAMAGE = (
    *(SafetensorError, RuntimeError, OSError, MemoryError, ArithmeticError, AssertionError),
    *(LookupError, TypeError, ValueError, AttributeError),
)
"""What the libraries raise over a damaged checkpoint, or over a model of sizes that do not go together."""


class CheckpointError(ValueError):
    """A checkpoint that is missing, truncated, foreign or newer than this program."""


def save_autoencoder(
    path: Path, autoencoder: ConvAutoencoder | ArVae, config: AutoencoderConfig | ArVaeConfig
) -> None:
    """One file: the weights, with the configuration in its header."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in autoencoder.state_dict().items()}
    kind = "ar_vae" if isinstance(autoencoder, ArVae) else "autoencoder"
    tensor_file.write(path, tensors, {kind: json.dumps(asdict(config))})


def load_autoencoder(path: Path) -> tuple[ConvAutoencoder, AutoencoderConfig]:
    """The convolutional autoencoder that :func:`save_autoencoder` wrote.

    Raises:
        CheckpointError: no such file, or one that holds something else.
    """
    return _autoencoder(path, "autoencoder", AutoencoderConfig, ConvAutoencoder)


def load_ar_vae(path: Path) -> tuple[ArVae, ArVaeConfig]:
    """The AR-VAE that :func:`save_autoencoder` wrote.

    Raises:
        CheckpointError: no such file, or one that holds something else.
    """
    return _autoencoder(path, "ar_vae", ArVaeConfig, ArVae)


C = TypeVar("C")
A = TypeVar("A", bound=nn.Module)


def _autoencoder(path: Path, kind: str, configure: Callable[..., C], build: Callable[[C], A]) -> tuple[A, C]:
    try:
        with safe_open(path, "pt") as f:
            told = f.metadata()
            tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118
        tensor_file.check(tensors, told)
        sizes = json.loads(told[kind])
        building.check_numbers(sizes)
        config = configure(**sizes)
        with building.no_larger_than(path):
            model = build(config)
        model.load_state_dict(tensors)
    except FileNotFoundError:
        raise CheckpointError(
            f"no {kind} at {path}; train one with `python -m training.train_{kind}`"
        ) from None
    except DAMAGE as error:
        reason = mismatch(error)
        raise CheckpointError(
            f"{path} holds no whole {kind} ({reason}); train it again or fetch it again"
        ) from None
    return model.eval(), config


@dataclass
class Description:
    """The contents of a checkpoint's config.yaml; its ``kind``, one of ``KINDS``, says which configuration it has."""

    format: int = FORMAT
    env_id: str = ""
    env_version: int = 0
    family: str = ""
    backend: str = ""
    action_spec: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    kind: str = "world"
    model: ModelConfig = field(default_factory=ModelConfig)
    video: VideoModelConfig = field(default_factory=VideoModelConfig)
    ar_diffusion: ArDiffusionConfig = field(default_factory=ArDiffusionConfig)


KINDS = {"world": "model", "video": "video", "ar_diffusion": "ar_diffusion"}
"""Kinds of checkpoints, and the field of :class:`Description` that fixes the model of each."""
M = TypeVar("M", WorldModel, VideoModel, ArDiffusion)


@dataclass
class Loaded(Generic[M]):
    """A trained model and what it says about itself."""

    model: M
    description: Description
    path: Path
    engines: dict[str, Any] = field(
        default_factory=dict, init=False, repr=False
    )  # see worldsim.engine.select
    _ahead: Ahead | None = field(default=None, init=False, repr=False)

    @property
    def ahead(self) -> Ahead:
        """What encodes true frames, each once: dreams that share the weights ask for the same ones."""
        if self._ahead is None:
            device = next(self.model.parameters()).device
            size = self.model.config.size
            self._ahead = Ahead(
                lambda frames: self.model.autoencoder.encode(to_tensor(smaller(frames, size), device))
            )
        return self._ahead

    def encode(self, frames: np.ndarray) -> Tensor:
        """Latents (n, C, h, w) of frames uint8 (n, H, W, 3)."""
        return self.ahead(frames)

    @property
    def action_spec(self) -> dict[str, Any]:
        """The action language the model was trained on."""
        return self.description.action_spec


LoadedModel = Loaded[WorldModel]


def save(folder: Path, model: WorldModel | VideoModel | ArDiffusion, facts: dict[str, Any]) -> None:
    """Write a checkpoint folder; large weights in half precision, which a dream does not notice.

    ``facts`` fill :class:`Description`. A card beside them is written by whoever measured the model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: _compact(v.detach().cpu()).contiguous() for k, v in _own(model).items()}
    kinds: dict[type, str] = {WorldModel: "world", VideoModel: "video", ArDiffusion: "ar_diffusion"}
    kind = kinds[type(model)]
    shape: dict[str, Any] = {KINDS[kind]: model.config} | ({} if kind == "world" else {"kind": kind})
    description = OmegaConf.structured(Description(**facts, **shape))
    others = [name for other, name in KINDS.items() if other != kind]
    written = OmegaConf.masked_copy(description, [k for k in description if k not in others])
    new = folder / (CONFIG + ".new")
    new.write_text(OmegaConf.to_yaml(written))
    tensor_file.write(folder / WEIGHTS, tensors, {"format": str(FORMAT)})
    new.replace(folder / CONFIG)


def resolve(name_or_path: str) -> Path:
    """A folder by path, a shipped checkpoint's by name, or a published one's by its id on the hub, OWNER/NAME.

    Raises:
        CheckpointError: there is none, or one with pickled weights only, which are never opened.
    """
    for folder in (Path(name_or_path), SHIPPED / name_or_path):
        if (folder / CONFIG).is_file() or (folder / WEIGHTS).is_file():
            return folder
    if hub.is_id(name_or_path):
        try:
            return _with_weights(hub.fetch(name_or_path), name_or_path)
        except hub.HubError as error:
            raise CheckpointError(str(error)) from None
    if Path(name_or_path).is_dir():
        _with_weights(Path(name_or_path), name_or_path)
    shipped = sorted(p.parent.name for p in SHIPPED.glob("*/" + CONFIG)) if SHIPPED.is_dir() else []
    raise CheckpointError(
        f"no checkpoint {name_or_path!r}: expected a folder with {WEIGHTS} and {CONFIG}, or one of {shipped}; "
        "give --checkpoint one of these or train your own"
    )


def _with_weights(folder: Path, name: str) -> Path:
    """The folder, if it holds weights that may be opened."""
    if (folder / WEIGHTS).is_file():
        return folder
    pickled = sorted(p.name for p in folder.iterdir() if p.suffix in PICKLED)
    if pickled:
        raise CheckpointError(
            f"{name} has no {WEIGHTS} but {pickled[0]}, which may be pickled and is never opened; "
            "ask for the weights as safetensors"
        )
    raise CheckpointError(f"{name} has no {WEIGHTS} and no {CONFIG}; expected a checkpoint of worldsim")


def load_any(name_or_path: str, device: torch.device | str = "cpu") -> Loaded[Any]:
    """Load a checkpoint folder of any kind; see :func:`load`, :func:`load_video` and :func:`load_ar_diffusion`."""
    by_kind: dict[str, Callable[..., Loaded[Any]]] = {"video": load_video, "ar_diffusion": load_ar_diffusion}
    return by_kind.get(describe(name_or_path)[1].kind, load)(name_or_path, device)


def load(name_or_path: str, device: torch.device | str = "cpu") -> LoadedModel:
    """Load a world model, ready to dream: the path of a folder, the name of a shipped one, or an id on the hub.

    Raises:
        CheckpointError: missing, truncated, foreign or newer than this program; one sentence.
    """
    folder, description = describe(name_or_path)
    if description.kind != "world":
        raise _other_kind(folder, description.kind)
    model = _filled(folder, lambda: WorldModel(description.model))
    return Loaded(model.to(device).eval(), description, folder)


def load_video(name_or_path: str, device: torch.device | str = "cpu") -> Loaded[VideoModel]:
    """Load the checkpoint folder of a video model, which any method can play.

    Raises:
        CheckpointError: as :func:`load`, or a checkpoint of a world model.
    """
    folder, description = describe(name_or_path)
    if description.kind != "video":
        raise _other_kind(folder, description.kind)
    model = _filled(folder, lambda: VideoModel(description.video))
    return Loaded(model.to(device).eval(), description, folder)


def load_ar_diffusion(name_or_path: str, device: torch.device | str = "cpu") -> Loaded[ArDiffusion]:
    """Load the checkpoint folder of an AR-Diffusion model.

    Raises:
        CheckpointError: as :func:`load`, or a checkpoint of another kind.
    """
    folder, description = describe(name_or_path)
    if description.kind != "ar_diffusion":
        raise _other_kind(folder, description.kind)
    model = _filled(folder, lambda: ArDiffusion(description.ar_diffusion))
    return Loaded(model.to(device).eval(), description, folder)


def _other_kind(folder: Path, kind: str) -> CheckpointError:
    """Says what to do with a checkpoint of a kind that was not asked for."""
    uses = {
        "world": "which plays by its own method; leave method=NAME out, "
        "or train a video model with `python -m training.train_video`",
        "video": "which needs a method; name one with method=NAME",
        "ar_diffusion": "which plays with method=ar_diffusion and with no other",
    }
    return CheckpointError(
        f"{folder} holds a model of kind {kind}, {uses.get(kind, 'which this program does not know')}"
    )


def describe(name_or_path: str) -> tuple[Path, Description]:
    """The folder of a checkpoint and what its config.yaml says, without its weights.

    Raises:
        CheckpointError: missing, foreign or newer than this program.
    """
    folder = resolve(name_or_path)
    try:
        description = load_config(Description, [], folder / CONFIG)
        building.check_described(asdict(description), KINDS, folder / CONFIG)
    except (ConfigError, building.TooLarge, ActionSpecDamaged) as error:
        raise CheckpointError(f"{folder} is no checkpoint of this program: {error}") from None
    if description.format > FORMAT:
        raise CheckpointError(
            f"{folder} has format {description.format}, newer than the {FORMAT} this program reads; update worldsim"
        )
    return folder, description


def weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint folder by name, in single precision.

    Raises:
        CheckpointError: there are none, the file is truncated, or they are not those that were saved.
    """
    try:
        with safe_open(folder / WEIGHTS, "pt") as f:
            tensors: dict[str, Tensor] = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118
            told = f.metadata()
        tensor_file.check(tensors, told)
        return {k: v.float() for k, v in tensors.items()}
    except FileNotFoundError:
        raise CheckpointError(f"{folder} has no {WEIGHTS}; fetch the checkpoint again") from None
    except DAMAGE as error:
        reason = mismatch(error)
        raise CheckpointError(
            f"{folder / WEIGHTS} is not whole ({reason}); fetch or train it again"
        ) from None


def _compact(weight: Tensor) -> Tensor:
    """Half precision for what is large; statistics and turns, summed up over a walk, stay exact."""
    return weight.half() if weight.numel() > 4096 else weight


def _own(model: nn.Module) -> dict[str, Tensor]:
    """The weights that a checkpoint holds: all but those that a library has."""
    elsewhere = getattr(model, "kept_elsewhere", "")
    return {k: v for k, v in model.state_dict().items() if not elsewhere or not k.startswith(elsewhere)}


def mismatch(error: Exception) -> str:
    """The first thing that weights of another shape are said to lack or to have, of torch's many lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return next((line for line in lines[1:]), lines[0])[:200]


def _filled(folder: Path, build: Callable[[], M]) -> M:
    tensors = weights(folder)
    try:
        with building.no_larger_than(folder / WEIGHTS):
            model = build()
        rest = model.state_dict().keys() - _own(model).keys()
        model.load_state_dict(tensors | {k: v for k, v in model.state_dict().items() if k in rest})
    except DAMAGE as error:
        raise CheckpointError(
            f"{folder / WEIGHTS} does not hold the weights that {CONFIG} and this version of worldsim expect "
            f"({mismatch(error)}); fetch or train it again"
        ) from None
    return model
