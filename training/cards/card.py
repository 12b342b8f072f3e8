"""Write the card to publish a checkpoint or a data set with: python -m training.card checkpoint=DIR license=mit

checkpoint=DIR or data=DIR, license=NAME, note="..." (in your own words). It writes README.md into that folder: YAML
facts read from the files, then words. docs/publishing.md says what is in it.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import MISSING

from envs.episodes.format import FORMAT as EPISODES
from training.data.episodes import open_episodes
from worldsim import checkpoint
from worldsim.cli.command import command
from worldsim.config import load

README = "README.md"
PLAIN_TEXT = "Frames are PNG, steps are NumPy arrays without pickles, meta.json says the rest."


@dataclass
class Config:
    license: str = MISSING
    checkpoint: str = ""
    data: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if bool(self.checkpoint) == bool(self.data):
            raise ValueError("expected either checkpoint=DIR or data=DIR")


def of_checkpoint(folder: Path, license: str, note: str = "") -> str:
    """The card of a checkpoint: its own card.md under the facts of its config.yaml.

    Raises:
        CheckpointError: it is none, or not whole.
    """
    _, description = checkpoint.describe(str(folder))
    tensors = checkpoint.weights(folder)
    facts: dict[str, Any] = {
        "format": description.format,
        "kind": description.kind,
        "env_id": description.env_id,
        "env_version": description.env_version,
        "family": description.family,
        "backend": description.backend,
        "actions": _fields(description.action_spec),
        "parameters": sum(t.numel() for t in tensors.values()),
    }
    if description.kind == "world":
        facts |= {
            "size": description.model.size,
            "posed": description.model.posed,
            "histories": description.model.memory.histories,
        }
    written = folder / checkpoint.CARD
    body = (
        written.read_text("utf-8")
        if written.is_file()
        else f"# A dream of `{description.env_id}`\n\nNot measured yet.\n"
    )
    head = {"library_name": "worldsim", "license": license, "tags": ["worldsim", "world-model"]}
    return _card({**head, "worldsim": facts}, body, note)


def of_data(folder: Path, license: str, note: str = "") -> str:
    """The card of a folder of episodes.

    Raises:
        DataError: there is none in it, or they do not belong together.
    """
    episodes = open_episodes(folder)
    meta = episodes[0].meta
    frames = sum(len(e) for e in episodes)
    policies = Counter(str(e.meta.get("policy", "recorded play")) for e in episodes)
    facts: dict[str, Any] = {
        "format": EPISODES,
        **{
            key: meta.get(key)
            for key in ("env_id", "env_version", "env_kwargs", "family", "backend", "size", "fov")
        },
        "actions": _fields(meta["action_spec"]),
        "alignment": meta.get("alignment"),
        "episodes": len(episodes),
        "frames": frames,
        "poses": episodes[0].poses is not None,
        "lossless": all(e.meta.get("lossless", True) for e in episodes),
        "policies": dict(policies),
    }
    size = f"{meta['size']}x{meta['size']}"
    body = (
        f"# Episodes of `{meta['env_id']}`\n\n{len(episodes)} episodes, {frames} frames of {size}; "
        f"one stored zip each. {PLAIN_TEXT}\n\n"
        "To train on them: `worldsim train autoencoder data=THIS_FOLDER out=runs/ae`.\n"
    )
    return _card(
        {"license": license, "tags": ["worldsim", "world-model", "video"], "worldsim": facts}, body, note
    )


def _fields(spec: dict[str, Any]) -> list[str]:
    return [f"{f['name'] or 'action'}: {f['kind']} {f.get('n') or f.get('shape')}" for f in spec["fields"]]


def _card(facts: dict[str, Any], body: str, note: str) -> str:
    head = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n{body.strip()}\n" + (f"\n{note.strip()}\n" if note else "")


@command
def main(args: list[str]) -> None:
    """Read, write, say where."""
    config = load(Config, args)
    folder = Path(config.checkpoint or config.data)
    make = of_checkpoint if config.checkpoint else of_data
    card = make(folder, config.license, config.note)
    (folder / README).write_text(card, "utf-8")
    print(f"wrote {folder / README}")


if __name__ == "__main__":
    sys.exit(main())
