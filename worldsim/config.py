"""Typed configuration: a dataclass holds the defaults, YAML and ``key=value`` words override them."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf, PathNode, StringNode
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from worldsim import shipped

C = TypeVar("C")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ODD = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError, AssertionError)
"""What the libraries raise over YAML that is odd: dates that do not exist, keys that are lists, ..."""


class ConfigError(ValueError):
    """A configuration names a key that does not exist, or gives it a value that it cannot hold."""


@dataclass
class AutoencoderConfig:
    """The convolutional autoencoder: latents are (channels, H/8, W/8).

    ``superresolution``: the decoder has a second head, which draws twice as many pixels each way.
    """

    channels: int = 16
    encoder_widths: list[int] = field(default_factory=lambda: [32, 64, 128])
    decoder_widths: list[int] = field(default_factory=lambda: [48, 96, 128])
    superresolution: bool = False


@dataclass
class ArVaeConfig:
    """The one-dimensional tokenizer of AR-Diffusion: latents are (tokens, dim), L x D in the paper.

    ``depth`` layers in the encoder and as many in the decoder, whose frames see the tokens of ``window`` frames, their
    own among them. The default is for 64x64; at 128x128 ``size=128 patch=16 dim=16`` costs as much.
    """

    size: int = 64
    patch: int = 8
    tokens: int = 32
    dim: int = 8
    width: int = 192
    depth: int = 4
    heads: int = 3
    window: int = 8


@dataclass
class DenoiserConfig:
    """The causal DiT: ``window`` clean frames of short-term context, ``patch`` latents a token each way."""

    width: int = 192
    depth: int = 6
    heads: int = 3
    patch: int = 2
    window: int = 8


@dataclass
class GeneratorConfig:
    """The generator (`denoisers.generator`): ``window`` frames of context, ``patch`` latents a token each way.

    ``stem``: channels of convolutions before and after the transformer, ``stem_blocks`` residual ones each; 0 has none.
    ``context_level`` is the noise level at which frames of its own are shown to it in play, with the noise added;
    ``strides`` are the step sizes that it was trained to take, and is told of.
    """

    width: int = 256
    depth: int = 8
    heads: int = 4
    patch: int = 2
    window: int = 8
    stem: int = 0
    stem_blocks: int = 2
    context_level: float = 0.1
    strides: list[float] = field(default_factory=list)


@dataclass
class MemoryConfig:
    """Joint compression of the past to a budget of latents, and the ray reader over them.

    ``scene_scale`` is the world's unit of position in its own units; ``reads`` is how many remembered
    frames the reader looks at for one new frame.
    """

    width: int = 64
    depth: int = 1
    heads: int = 4
    reads: int = 4
    scene_scale: float = 1.0
    histories: list[int] = field(default_factory=lambda: [8, 16, 48, 112])
    budgets: list[int] = field(default_factory=lambda: [8, 16, 32, 48])


@dataclass
class DreamConfig:
    """What a model and the dream that plays it must agree on, in frames where nothing else is said.

    ``context_level``: the noise level at which past frames are shown to a denoiser, which bears the errors of its own
    frames better so; a generator has one of its own.
    ``refresh``: between two compressions of the memory; ``replayed``: whose keys and values are computed again when the
    past is replaced; ``settled``: newest ones of which none is left out, those that are replayed, looked back on, or
    not compressed yet. Older ones seen from within ``same_place`` units of the scene and ``same_angle`` degrees of the
    one before are left out.
    ``heights``: units of the scene at which a true frame is looked for above and below where it was reckoned, 0 first:
    a step of a block missed is too far for a linear solution.
    """

    context_level: float = 0.15
    refresh: int = 8
    replayed: int = 16
    settled: int = 24
    same_place: float = 0.01
    same_angle: float = 0.5
    heights: list[float] = field(default_factory=lambda: [0.0, 0.25, -0.25])


@dataclass
class ModelConfig:
    """Everything that fixes the shape of a world model.

    A model that is not ``posed`` was trained in a world that tells no pose: to it the camera stands still. One that was
    left ``alone`` in training, as before generators, has a second denoiser for a past of its own, which takes over
    after ``alone_after`` frames without a true one: as many as the needle protocol dreams between two corrections, or
    more, since the first one knows better what it remembers. One that ``generates`` has a generator
    (`training.train_generator`) in the place of both.
    ``pixels`` is a memory of pictures (`training.train_pixels`), from which it puts pixels into those that it draws: of
    true ones, and of the first ``own_pixels`` that it dreams after one. What it makes up beyond that mixes to mud in
    some worlds.
    """

    size: int = 64
    fov: float = 70.0
    posed: bool = True
    alone: bool = False
    alone_after: int = 16
    pixels: bool = False
    own_pixels: int = 48
    generates: bool = False
    action_dim: int = 20
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    dream: DreamConfig = field(default_factory=DreamConfig)


def load(cls: type[C], args: list[str], yaml: Path | None = None) -> C:
    """Build ``cls`` from its defaults, then the YAML file, then the ``key=value`` words, in that order.

    Nested fields are written with dots: ``optimizer.lr=1e-3``. A field whose default is
    ``omegaconf.MISSING`` must be given. The word ``config=FILE.yaml`` names a YAML file to read first,
    a shipped one too (:func:`worldsim.shipped.find`).

    Raises:
        ConfigError: an unknown key (with the nearest known one), a value of the wrong type, a required
            field left out, a word that is not ``key=value``, a YAML file that is missing or broken.
    """
    config = OmegaConf.structured(cls)
    files = [shipped.find(Path(word.removeprefix("config="))) for word in args if word.startswith("config=")]
    for file in [yaml, *files] if yaml is not None else files:
        read = _read(file)
        try:
            config = _merge(config, read, str(file))
        except ConfigError:
            raise
        except _ODD as error:
            raise ConfigError(f"{file}: {_first_line(error)}") from None
    for word in args:
        if word.startswith("config="):
            continue
        key, equals, _ = word.partition("=")
        if not equals or not key:
            raise ConfigError(f"expected key=value, found {word!r}; the keys are {_listed(config)}")
        try:
            override = _word(config, key, word)
        except (OmegaConfBaseException, YAMLError) as error:
            raise ConfigError(f"{word!r}: {_first_line(error)}") from None
        config = _merge(config, override, "the command line")
    try:
        built = OmegaConf.to_object(config)
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key}=... is required and was not given") from None
    except OmegaConfBaseException as error:
        raise ConfigError(_first_line(error)) from None
    assert isinstance(built, cls)
    return built


YAML_BYTES, YAML_PARTS, YAML_DEPTH = 2**20, 100_000, 40
"""Of a configuration file, at most: its bytes, its keys and values, and how deep they are nested."""


def _check(path: Path) -> None:
    """Whether a file is small enough to be read, before it is: YAML of a few lines can unfold into gigabytes.

    Raises:
        ConfigError: it is too large, too deep, or has anchors that others repeat.
    """
    if path.stat().st_size > YAML_BYTES:
        raise ConfigError(f"{path} has more than {YAML_BYTES >> 20} MiB, which no configuration has")
    depth = 0
    for count, event in enumerate(yaml.parse(path.read_text("utf-8"), Loader=_Loader)):
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"{path}: expected plain YAML, found the alias *{event.anchor}")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > YAML_DEPTH or count > YAML_PARTS:
            raise ConfigError(f"{path} is nested deeper, or has more parts, than a configuration")


def _word(config: Any, key: str, word: str) -> DictConfig:
    """``key=value`` as a configuration. A value that is a word or a path is what was typed, and no YAML; of
    a list of words only the brackets and commas (and quotes, where a word has such) are."""
    node, text = _node(config, key) if key in _keys(config) else None, word.partition("=")[2]
    override = OmegaConf.create({})
    if isinstance(node, ListConfig) and node._metadata.element_type in (str, Path) and text.startswith("["):
        items = yaml.load(text, Loader=yaml.BaseLoader)  # to which every scalar is a word
        if all(isinstance(item, str) for item in items):
            OmegaConf.update(override, key, [_literal(item) for item in items])
            return override
    if not isinstance(node, StringNode | PathNode) or (node._is_optional() and text in ("null", "None", "~")):
        return OmegaConf.from_dotlist([word])
    OmegaConf.update(override, key, _literal(text))
    return override


def _literal(text: str) -> str:
    """What OmegaConf reads as this text, and not as a reference to another key."""
    return text.replace("\\", "\\\\").replace("${", "\\${") if "${" in text else text


def _read(path: Path) -> DictConfig:
    try:
        _check(path)
        found = OmegaConf.load(path)
    except FileNotFoundError:
        raise ConfigError(f"no configuration file at {path}") from None
    except ConfigError:
        raise
    except (OmegaConfBaseException, YAMLError, OSError, *_ODD) as error:
        raise ConfigError(f"{path} is not a readable YAML file: {_first_line(error)}") from None
    if not isinstance(found, DictConfig):
        raise ConfigError(f"{path}: expected a mapping of keys to values, found a {type(found).__name__}")
    return found


def _merge(config: Any, override: DictConfig, source: str) -> Any:
    known = list(_keys(config))
    for key in _keys(override):
        if not any(key == k or (key.startswith(f"{k}.") and _is_open(config, k)) for k in known):
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the keys are {_listed(config)}"
            raise ConfigError(f"{source}: unknown key {key!r}; {hint}")
        given = _node(override, key)
        if isinstance(_node(config, key), StringNode) and isinstance(given._value(), bool):
            OmegaConf.update(override, key, str(given).lower())  # in pose_from=true, true is a word
    try:
        return OmegaConf.merge(config, override)
    except OmegaConfBaseException as error:
        where = f"{error.full_key!r}: " if error.full_key else ""
        raise ConfigError(f"{source}: {where}{_first_line(error)}") from None


def _keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    """Every dotted key, branches before their leaves."""
    for key in config:
        name = prefix + str(key)
        yield name
        child = config._get_node(key)
        if isinstance(child, DictConfig) and not (child._is_none() or child._is_missing()):
            yield from _keys(child, f"{name}.")


def _is_open(config: DictConfig, key: str) -> bool:
    """Whether the field is a free dictionary rather than a dataclass or a plain value."""
    node = _node(config, key)
    return isinstance(node, DictConfig) and not dataclasses.is_dataclass(OmegaConf.get_type(node))


def _node(config: DictConfig, key: str) -> Any:
    """What stands at a dotted key, or None."""
    node: Any = config
    for part in key.split("."):
        node = node._get_node(part) if isinstance(node, DictConfig) else None
    return node


def _listed(config: DictConfig) -> str:
    return ", ".join(_keys(config))


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
