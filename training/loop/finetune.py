"""What training one part of a checkpoint shares: its episodes as latents, and the checkpoint with the part replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelerate import Accelerator

from training.data.episodes import DataError, LatentEpisode, encode_both, open_both
from worldsim import checkpoint
from worldsim.actions import check_same
from worldsim.checkpoint import LoadedModel


def encoded(
    loaded: LoadedModel, data: str, held_out: str, out: Path, accelerator: Accelerator, frames: int = 1
) -> tuple[list[LatentEpisode], list[LatentEpisode]]:
    """The episodes of :func:`training.data.episodes.open_both` in a checkpoint's latents.

    Raises:
        DataError: episodes that tell no poses, of pictures of another size, or none at all.
        ActionSpecMismatch: of another world than the checkpoint's.
    """

    both = open_both(data, held_out, loaded.model.config.size, frames)
    check_same(loaded.action_spec, both[0][0].meta["action_spec"], str(loaded.path), data)
    episodes = encode_both(both, loaded.model.autoencoder, out / "latents", accelerator)
    if any(episode.poses is None for some in episodes for episode in some):
        raise DataError(f"{data}: expected episodes with recorded poses, which this is learned from")
    return episodes


def save_part(out: Path, loaded: LoadedModel, part: str, result: dict[str, Any]) -> None:
    """Write OUT/checkpoint: the loaded model as it is now, with what is known of the part's training."""
    d = loaded.description
    facts = {key: getattr(d, key) for key in ("env_id", "env_version", "family", "backend", "action_spec")}
    facts["training"] = d.training | {part: result}
    checkpoint.save(out / "checkpoint", loaded.model, facts)
