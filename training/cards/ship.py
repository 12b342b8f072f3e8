"""Put a measured checkpoint where `run_demo.py` finds it, with a card that says what it is and what it scored.

python -m training.ship checkpoint=RUN/checkpoint name=blocks scores=scores.json data="what it was trained on"

``against=FILE`` are scores of the world's default checkpoint on the same episodes, which the card then shows beside.
``imagination=FILE`` and ``mirror=FILE`` are what `training.imagination` and `training.imagination.mirror` found.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from training.cards import tables
from worldsim import checkpoint
from worldsim.checkpoint import CARD, CONFIG, SHIPPED, WEIGHTS, Description, Loaded
from worldsim.cli.command import command
from worldsim.config import ConfigError, load
from worldsim.session.interfaces import BLIND

LARGEST = 40 * 2**20


@dataclass
class Config:
    checkpoint: str = MISSING
    name: str = MISSING
    scores: str = MISSING
    against: str = ""
    data: str = MISSING
    autoencoder: str = ""
    hardware: str = ""
    note: str = ""
    ahead_seed: int = 940000
    needle_seed: int = 930000
    alone_seed: int = 985000
    imagination: str = ""
    mirror: str = ""

    def __post_init__(self) -> None:
        if self.name != MISSING and not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            raise ConfigError(f"name: expected letters, digits, _ and - alone, found {self.name!r}")


def read(path: str) -> dict[str, Any]:
    """Scores in a file; a ConfigError where it holds no JSON object."""
    try:
        found = json.loads(Path(path).read_text("utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} holds no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: expected an object of scores, found {type(found).__name__}")
    return found


def card(config: Config, loaded: Loaded[Any], scores: dict[str, Any]) -> str:
    """The card's Markdown."""
    world = config.name.split("_")[0]
    d, size = loaded.description, loaded.model.config.size
    play = {"video": " method=fifo", "ar_diffusion": " method=ar_diffusion"}.get(d.kind, "")
    parameters = sum(p.numel() for p in loaded.model.parameters()) / 1e6
    lines = [
        f"# {config.name}",
        "",
        f"A dream of `{d.env_id}` (version {d.env_version}, {size}x{size}), "
        f"{parameters:.1f} M parameters. Play it: `worldsim play --env {d.family}{play}`.",
        "",
        f"- Data: {config.data}",
        f"- Code: commit {_commit()}",
        f"- Weights: SHA-256 {fingerprint(loaded.path / WEIGHTS)}",
        *_trained(d),
    ]
    if config.autoencoder:
        lines.append(f"- Autoencoder: `{Path(config.autoencoder).read_text().strip()}` (held-out frames)")
    if config.hardware:
        lines.append(f"- Trained on: {config.hardware}")
    lines += [
        "",
        "## Scores",
        "",
        f"Held-out worlds; {_settings(scores)}; brackets are 95% bootstrap intervals over episodes; measured on "
        f"{scores['hardware']}.",
        "",
        *_scored(config, world, scores),
        "The command:",
        "",
        "```",
        *_commands(config, world, scores),
        "```",
    ]
    if config.note:
        lines += ["", config.note]
    return "\n".join(lines) + "\n"


def _trained(d: Description) -> list[str]:
    """What each part learnt from, how long, and its held-out losses."""
    main = {"video": "Denoiser and memory", "ar_diffusion": "Denoiser"}.get(
        d.kind, "Denoiser, memory and odometry"
    )
    parts = {
        main: (d.training, "", "held-out losses", "held_out"),
        "Odometry alone": (
            d.training.get("odometry"),
            "",
            "drift on held-out episodes after so many frames of true pictures (world units, degrees)",
            "drift",
        ),
        "Denoiser on its own long dreams": (d.training.get("rollout"), "", "held-out losses", "held_out"),
        "Memory of pixels": (
            d.training.get("pixels"),
            "",
            "SSIM of held-out dreamt frames as drawn and as shown",
            "held_out",
        ),
        "Generator": (d.training.get("generator"), " on {walks} walks", "held-out losses", "held_out"),
        "Decoder sharpened": (d.training.get("decoder"), "", "held-out frames", "after"),
    }
    lines = []
    for name, (found, over, label, key) in parts.items():
        if found is not None and (found or name == main):
            mark = ";" if name == "Odometry alone" else ","
            lines.append(
                f"- {name}: {found.get('steps')} steps in {found.get('seconds')} s{over.format(**found)}{mark} {label} "
                f"`{json.dumps(found.get(key))}`"
            )
    return lines


def _scored(config: Config, world: str, scores: dict[str, Any]) -> list[str]:
    """Every table that there are scores for, each under its sentence."""
    ahead = "How far ahead {} holds, blind, after 64 true frames:"
    found: list[tuple[str, list[str]]] = []
    if "methods" in scores:
        found.append((ahead.format("each method"), tables.methods(scores["methods"])))
    if "ahead" in scores:
        table = tables.ahead(scores["ahead"], world, _compared(config, scores))
        found.append((ahead.format("the dream"), table))
    if "needle" in scores:
        blind = scores.get("blind", BLIND)
        title = f"What it remembers (history from truth, {blind} frames blind at a time):"
        found.append((title, tables.needle(scores["needle"])))
    if "alone" in scores:
        title = (
            "Left alone after 64 true frames: latent Fréchet distance of what it dreams to all true frames:"
        )
        found.append((title, tables.free_running(scores["alone"])))
    lines = [line for title, table in found for line in (title, "", *table, "")]
    for file, table_of in ((config.imagination, tables.imagination), (config.mirror, tables.mirror)):
        if file:
            lines += [*table_of(read(file)), ""]
    return lines


def _commands(config: Config, world: str, scores: dict[str, Any]) -> list[str]:
    """What gives these scores again."""
    collect, held = f"worldsim collect env={world}", f"data/{world}_held"
    free_running = f"policy=explore episodes=20 steps=370 out={held}_alone seed={config.alone_seed}"
    return [
        f"{collect} policy=explore episodes=8 out={held}_explore seed={config.ahead_seed}",
        f"{collect} policy=needle episodes=12 out={held}_needle seed={config.needle_seed}",
        *([f"{collect} {free_running}"] if "alone" in scores else []),
        *(f"worldsim evaluate checkpoint={config.name} {words}" for words in _words(scores, held)),
        *_imagining(config),
    ]


def _compared(config: Config, scores: dict[str, Any]) -> dict[str, Any] | None:
    """The default's scores ahead, if they are given.

    Raises:
        ValueError: they are of other episodes.
    """
    if not config.against:
        return None
    found: dict[str, Any] = read(config.against)["ahead"]
    if found["copy"] != scores["ahead"]["copy"]:
        raise ValueError(
            f"{config.against}: expected scores on the same episodes; evaluate both on one folder"
        )
    return found


def _imagining(config: Config) -> list[str]:
    """The commands behind what is settings of imagination."""
    commands = []
    for file, module in ((config.imagination, "imagination"), (config.mirror, "imagination.mirror")):
        if file:
            settings = read(file)["settings"]
            words = [f"{k}={settings[k]}" for k in ("seeds", "clips_each", "precision") if k in settings]
            commands.append(f"python -m training.{module} checkpoint={config.name} {' '.join(words)}")
    return commands


def _words(scores: dict[str, Any], held: str) -> list[str]:
    """What to give `training.evaluate` for these scores."""
    if "methods" in scores:
        first = next(iter(scores["methods"].values()))["ahead"]["dream"]
        count = max(s["ssim"]["episodes"] for s in first.values())
        given = {key: scores[key] for key in ("farthest", "starts", "precision") if scores.get(key)}
        words = [f"method=all ahead={held}_explore episodes={count}", *(f"{k}={v}" for k, v in given.items())]
        return [" ".join(words)]
    chosen = f"denoising_steps={scores['denoising_steps']}"
    if scores.get("blind", BLIND) != BLIND:
        chosen += f" blind={scores['blind']}"
    if scores["pose_from"] != "none":
        chosen = f"budget={scores['budget']} {chosen} pose_from={scores['pose_from']}"
    if not scores.get("second", True):
        chosen += " second=false"
    if scores.get("alone_after"):
        chosen += f" alone_after={scores['alone_after']}"
    words = []
    if "ahead" in scores:
        count = max(s["ssim"]["episodes"] for s in scores["ahead"]["dream"].values())
        words.append(f"ahead={held}_explore episodes={count} {chosen}")
    if "needle" in scores:
        count = max(row["memory"]["episodes"] for row in scores["needle"].values())
        words.append(f"needle={held}_needle episodes={count} {chosen}")
    if "alone" in scores:
        words.append(f"alone={held}_alone episodes={scores['alone']['n']} {chosen}")
    return words


def _settings(scores: dict[str, Any]) -> str:
    if "methods" in scores:
        return "the presets as they are"
    steps, budget = scores["denoising_steps"], scores["budget"]
    if scores["pose_from"] == "none":
        return f"{steps} denoising steps a frame, one frame after the other"
    return f"{steps} denoising steps, budget {budget}, pose from the {scores['pose_from']}"


def fingerprint(weights: Path) -> str:
    """The first 16 digits of a file's SHA-256: whoever changes the weights has to write the card anew."""
    return hashlib.sha256(weights.read_bytes()).hexdigest()[:16]


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def written(config: Config, loaded: Loaded[Any]) -> str:
    """The card from its files of scores; a ConfigError where they lack what a card tells."""
    try:
        return card(config, loaded, read(config.scores))
    except (LookupError, TypeError, AttributeError, StopIteration) as error:
        files = [file for file in (config.scores, config.against, config.imagination, config.mirror) if file]
        raise ConfigError(
            f"{', '.join(files)}: what a card needs is missing or no score: {error!r}"
        ) from None


def _check_world(description: Description, target: Path) -> None:
    """Whether what is shipped under that name, if anything is, is of the same world; else a ConfigError."""
    if (target / CONFIG).is_file():
        _, shipped = checkpoint.describe(str(target))
        if shipped.env_id != description.env_id:
            raise ConfigError(
                f"name: {target.name} is a dream of {shipped.env_id}, and the checkpoint is one of "
                f"{description.env_id}; choose another name"
            )


@command
def main(args: list[str]) -> int:
    config = load(Config, args)
    loaded = checkpoint.load_any(config.checkpoint)
    size = (loaded.path / WEIGHTS).stat().st_size
    if size > LARGEST:
        raise ValueError(
            f"{loaded.path / WEIGHTS} has {size / 2**20:.0f} MiB; a shipped checkpoint has at most 40"
        )
    target = SHIPPED / config.name
    _check_world(loaded.description, target)
    text = written(config, loaded)
    target.mkdir(parents=True, exist_ok=True)
    for name in (WEIGHTS, CONFIG):
        if (loaded.path / name).resolve() != (target / name).resolve():
            shutil.copyfile(loaded.path / name, target / name)
    (target / CARD).write_text(text, "utf-8")
    print(f"{target}: {size / 2**20:.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
