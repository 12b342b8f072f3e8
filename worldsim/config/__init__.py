"""Typed configuration: a dataclass holds the defaults, YAML and ``key=value`` words override them."""

from worldsim.config.loading import YAML_BYTES, YAML_DEPTH, YAML_PARTS, ConfigError, load
from worldsim.config.models import (
    ArVaeConfig,
    AutoencoderConfig,
    DenoiserConfig,
    DreamConfig,
    EditConfig,
    GeneratorConfig,
    MemoryConfig,
    ModelConfig,
)

__all__ = [
    "YAML_BYTES",
    "YAML_DEPTH",
    "YAML_PARTS",
    "ArVaeConfig",
    "AutoencoderConfig",
    "ConfigError",
    "DenoiserConfig",
    "DreamConfig",
    "EditConfig",
    "GeneratorConfig",
    "MemoryConfig",
    "ModelConfig",
    "load",
]  # fmt: skip
