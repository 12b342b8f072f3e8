"""The kinds of models that a checkpoint can hold, and what its config.yaml says of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from worldsim.checkpoint.formats import FORMAT
from worldsim.config import ModelConfig
from worldsim.models.ar_diffusion import ArDiffusion, ArDiffusionConfig
from worldsim.models.video_model import VideoModel, VideoModelConfig
from worldsim.models.world_model import WorldModel


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


@dataclass(frozen=True)
class Kind:
    """One kind of model.

    ``field`` of :class:`Description` holds its configuration, from which ``model`` is built; ``use`` says what to do
    with a checkpoint of it that was not asked for.
    """

    field: str
    model: type[nn.Module]
    use: str


KINDS = {
    "world": Kind(
        "model",
        WorldModel,
        "which plays by its own method; leave method=NAME out, "
        "or train a video model with `worldsim train video`",
    ),
    "video": Kind("video", VideoModel, "which needs a method; name one with method=NAME"),
    "ar_diffusion": Kind(
        "ar_diffusion", ArDiffusion, "which plays with method=ar_diffusion and with no other"
    ),
}
"""Every kind by the name that config.yaml has for it."""
