"""A configuration read: YAML and ``key=value`` words over the defaults of a dataclass, and what they may hold."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf, PathNode, StringNode
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from worldsim.config import shipped

C = TypeVar("C")
_PLAIN = (int, float, bool, str, Path)
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ODD = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError, AssertionError)
"""What the libraries raise over YAML that is odd: dates that do not exist, keys that are lists, ..."""


class ConfigError(ValueError):
    """A configuration names a key that does not exist, or gives it a value that it cannot hold."""


def load(
    cls: type[C], args: list[str], yaml: Path | None = None, renamed: Mapping[str, str] | None = None
) -> C:
    """Build ``cls`` from its defaults, then the YAML file, then the ``key=value`` words, in that order.

    Nested fields are written with dots: ``optimizer.lr=1e-3``. A field whose default is
    ``omegaconf.MISSING`` must be given. The word ``config=FILE.yaml`` names a YAML file to read first,
    a shipped one too (:func:`worldsim.config.shipped.find`).

    ``renamed``: dotted keys that files may still have, and what the last part of each is called now.

    Raises:
        ConfigError: an unknown key (with the nearest known one), a value of the wrong type, a required
            field left out, a word that is not ``key=value``, a YAML file that is missing or broken.
    """
    config = OmegaConf.structured(cls)
    files = [shipped.find(Path(word.removeprefix("config="))) for word in args if word.startswith("config=")]
    for file in [yaml, *files] if yaml is not None else files:
        read = _read(file)
        try:
            for old, new in (renamed or {}).items():
                _rename(read, old, new)
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


def _rename(read: DictConfig, old: str, new: str) -> None:
    branch, _, leaf = old.rpartition(".")
    parent = _node(read, branch) if branch else read
    if isinstance(parent, DictConfig) and not (parent._is_none() or parent._is_missing()) and leaf in parent:
        parent[new] = parent.pop(leaf)


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
    for key in known:  # OmegaConf takes anything into a list but a value of another type
        node, given = _node(config, key), _node(override, key)
        kind = node._metadata.element_type if isinstance(node, ListConfig) else None
        if kind in _PLAIN and isinstance(given, ListConfig) and any(map(OmegaConf.is_config, _items(given))):
            raise ConfigError(
                f"{source}: {key}: expected a list of {kind.__name__}, found a list or mapping in it"
            )
    try:
        return OmegaConf.merge(config, override)
    except OmegaConfBaseException as error:
        where = f"{error.full_key!r}: " if error.full_key else ""
        raise ConfigError(f"{source}: {where}{_first_line(error)}") from None


def _items(node: ListConfig) -> list[Any]:
    return [] if node._is_none() or node._is_missing() else [node._get_node(i) for i in range(len(node))]


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
