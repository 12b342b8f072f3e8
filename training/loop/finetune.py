"""What training one part of a checkpoint shares: its episodes, and the checkpoint with the part replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from envs.episodes.episode import Episode
from training.data.episodes import DataError, long_enough, open_both
from worldsim import checkpoint
from worldsim.actions import check_same
from worldsim.checkpoint import LoadedModel


def opened(
    loaded: LoadedModel, data: str, held_out: str, shortest: int
) -> tuple[list[Episode], list[Episode]]:
    """The episodes of :func:`training.data.episodes.open_both` that a part of a checkpoint can be learned from.

    Args:
        shortest: frames that an episode has at least; shorter ones are passed over, with a count.

    Raises:
        DataError: episodes that tell no poses, of pictures of another size, too short ones only, or none at all.
        ActionSpecMismatch: of another world than the checkpoint's.
    """
    both = open_both(data, held_out, loaded.model.config.size)
    check_same(loaded.action_spec, both[0][0].meta["action_spec"], str(loaded.path), data)
    if any(not episode.posed for some in both for episode in some):
        raise DataError(f"{data}: expected episodes with recorded poses, which this is learned from")
    return long_enough(both, shortest, data)


def publish_part(out: str, loaded: LoadedModel, part: str, result: dict[str, Any]) -> None:
    """Write OUT/checkpoint, the model as it is now with what is known of the part's training; print the latter."""
    d = loaded.description
    facts = {key: getattr(d, key) for key in ("env_id", "env_version", "family", "backend", "action_spec")}
    facts["training"] = d.training | {part: result}
    checkpoint.save(Path(out) / "checkpoint", loaded.model, facts)
    print(json.dumps(result))
