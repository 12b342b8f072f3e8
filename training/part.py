"""What training one part of a checkpoint shares: its episodes as latents, and the checkpoint with the part replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelerate import Accelerator

from training.dataset import DataError, LatentEpisode, latent_episodes, open_episodes
from worldsim import checkpoint
from worldsim.actions import check_same
from worldsim.checkpoint import LoadedModel


def encoded(
    loaded: LoadedModel, data: str, held_out: str, out: Path, accelerator: Accelerator
) -> tuple[list[LatentEpisode], list[LatentEpisode]]:
    """The episodes of two folders in a checkpoint's latents; without a second, a twentieth of the first is held out.

    Raises:
        DataError: episodes that tell no poses, or none at all.
        ActionSpecMismatch: of another world than the checkpoint's.
    """

    def of(folder: str) -> list[LatentEpisode]:
        sources = open_episodes(Path(folder))
        check_same(loaded.action_spec, sources[0].meta["action_spec"], str(loaded.path), folder)
        with accelerator.main_process_first():
            found = latent_episodes(
                sources,
                loaded.model.autoencoder,
                out / "latents",
                accelerator.device,
                not accelerator.is_main_process,
            )
        if any(episode.poses is None for episode in found):
            raise DataError(f"{folder}: expected episodes with recorded poses, which this is learned from")
        return found

    episodes = of(data)
    if held_out:
        return episodes, of(held_out)
    few = max(1, len(episodes) // 20)
    return episodes[:-few] or episodes, episodes[-few:]


def save_part(out: Path, loaded: LoadedModel, part: str, result: dict[str, Any]) -> None:
    """Write OUT/checkpoint: the loaded model as it is now, with what is known of the part's training."""
    d = loaded.description
    facts = {key: getattr(d, key) for key in ("env_id", "env_version", "family", "backend", "action_spec")}
    facts["training"] = d.training | {part: result}
    checkpoint.save(out / "checkpoint", loaded.model, facts)
