"""What older formats call weights and keys of config.yaml; both are renamed as they are read."""

from __future__ import annotations

import re

FORMAT = 2

KEYS = {
    "model.alone": "free_running",
    "model.alone_after": "handover_after",
    "model.own_pixels": "recall_horizon",
}
"""Keys of format 1, dotted, and what they are called now, beside what they stood beside."""

PARTS = {
    "alone": "free_running",
    "pixels.distances": "pixels.depth",
    "pixels.cues": "pixels.features",
    "pixels.weigh": "pixels.fusion",
    "pixels.judge": "pixels.logits",
}
"""Parts of a world model in format 1, and what they are called now."""

_PART = re.compile(rf"(?<![^.])({'|'.join(map(re.escape, PARTS))})(?=\.)")


def renamed(weight: str) -> str:
    """What a weight is called now, ``pixels.features.bias`` for the ``pixels.cues.bias`` of format 1."""
    return _PART.sub(lambda found: PARTS[found[1]], weight)
