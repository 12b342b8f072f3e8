"""A model in memory, beside what its checkpoint says of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from torch import Tensor

from worldsim.checkpoint import tensor_file
from worldsim.checkpoint.kinds import Description
from worldsim.frames import smaller, to_tensor
from worldsim.models.ar_diffusion import ArDiffusion
from worldsim.models.latent_cache import LatentCache
from worldsim.models.video_model import VideoModel
from worldsim.models.world_model import WorldModel

M = TypeVar("M", WorldModel, VideoModel, ArDiffusion)


@dataclass
class Loaded(Generic[M]):
    """A trained model and what it says about itself."""

    model: M
    description: Description
    path: Path
    # see worldsim.engine.select
    engines: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    _fingerprint: str | None = field(default=None, init=False, repr=False)
    _ahead: LatentCache | None = field(default=None, init=False, repr=False)

    @property
    def ahead(self) -> LatentCache:
        """What encodes true frames, each once: dreams that share the weights ask for the same ones."""
        if self._ahead is None:
            device = next(self.model.parameters()).device
            size = self.model.config.size
            self._ahead = LatentCache(
                lambda frames: self.model.autoencoder.encode(to_tensor(smaller(frames, size), device))
            )
        return self._ahead

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights, as they were when it was first asked for."""
        if self._fingerprint is None:
            self._fingerprint = tensor_file.checksum(self.model.state_dict())
        return self._fingerprint

    def encode(self, frames: np.ndarray) -> Tensor:
        """Latents (n, C, h, w) of frames uint8 (n, H, W, 3)."""
        return self.ahead(frames)

    @property
    def action_spec(self) -> dict[str, Any]:
        """The action language the model was trained on."""
        return self.description.action_spec


LoadedModel = Loaded[WorldModel]
