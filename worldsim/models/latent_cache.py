"""True frames encoded before they are asked for, in a thread of their own, and none of the last ones twice."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

KEPT = 256
"""Frames whose latents are kept: more than the longest history."""


class LatentCache:
    """Remembers the latents (C, h, w) of the last frames by their pixels.

    Args:
        encode: frames uint8 (n, H, W, 3) to latents (n, C, h, w).
    """

    def __init__(self, encode: Callable[[np.ndarray], Tensor]) -> None:
        self.encode = encode
        self._known: OrderedDict[bytes, Tensor | Future[Tensor]] = OrderedDict()
        self._thread: ThreadPoolExecutor | None = None

    def prefetch(self, frame: np.ndarray) -> None:
        """Begin to encode a frame (H, W, 3) that will be asked for soon; it must not change any more."""
        key = frame.tobytes()
        if key not in self._known:
            self._thread = self._thread or ThreadPoolExecutor(1, "encoder")
            self._keep(key, self._thread.submit(self._one, frame))

    def __call__(self, frames: np.ndarray) -> Tensor:
        """Latents (n, C, h, w) of frames uint8 (n, H, W, 3)."""
        keys = [frame.tobytes() for frame in frames]
        found: dict[bytes, Tensor] = {}
        for key in keys:  # taken before anything is encoded or kept: meanwhile other sessions may push it out
            if key not in found and (known := self._known.pop(key, None)) is not None:
                found[key] = known.result() if isinstance(known, Future) else known
        unknown = [i for i, key in enumerate(keys) if key not in found]
        if unknown:
            found |= {keys[i]: z for i, z in zip(unknown, self.encode(frames[unknown]), strict=True)}
        for key in dict.fromkeys(keys):
            self._keep(key, found[key])
        return torch.stack([found[key] for key in keys])

    def _one(self, frame: np.ndarray) -> Tensor:
        torch.set_flush_denormal(True)
        with torch.inference_mode():
            return self.encode(frame[None])[0]

    def _keep(self, key: bytes, value: Tensor | Future[Tensor]) -> None:
        self._known[key] = value
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
