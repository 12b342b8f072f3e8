"""True frames through a model's autoencoder and back: the best that whatever is drawn from latents alone can look."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.checkpoint import Loaded
from worldsim.frames import larger, smaller, to_tensor, to_uint8
from worldsim.models.autoencoders.ar_vae import ArVae

Frames = NDArray[np.uint8]
BATCH = 64


@torch.inference_mode()
def reconstruct(loaded: Loaded[Any], frames: Frames) -> Frames:
    """Frames (n, H, W, 3) as the autoencoder gives them back, as large as they were."""
    autoencoder, device = loaded.model.autoencoder, next(loaded.model.parameters()).device
    found = []
    for i in range(0, len(frames), BATCH):
        x = to_tensor(smaller(frames[i : i + BATCH], loaded.model.config.size), device)
        z = autoencoder.encode(x)
        if isinstance(autoencoder, ArVae):  # its decoder takes videos; here each of a single frame
            found.append(to_uint8(autoencoder.decode(z[:, None])[:, 0]))
        else:
            found.append(to_uint8(larger(autoencoder.decode(z), frames.shape[1])))
    return np.concatenate(found)
