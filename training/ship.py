"""Put a measured checkpoint where `run_demo.py` finds it, with a card that says what it is and what it scored.

python -m training.ship checkpoint=RUN/checkpoint name=blocks scores=scores.json data="what it was trained on"

``against=FILE`` are scores of the world's default checkpoint on the same episodes, which the card then shows beside.
``imagination=FILE`` and ``mirror=FILE`` are what `training.imagination` and `training.imagination.mirror` found.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from worldsim import checkpoint
from worldsim.checkpoint import CARD, CONFIG, SHIPPED, WEIGHTS, Loaded
from worldsim.cli.command import command
from worldsim.config import load

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


def _cell(score: dict[str, Any]) -> str:
    if score["mean"] is None:
        return "-"
    return f"{score['mean']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"


def _ahead(scores: dict[str, Any], default: str, against: dict[str, Any] | None) -> list[str]:
    horizons = list(scores["dream"])
    lines = [
        "| SSIM, frames ahead | " + " | ".join(horizons) + " |",
        "|---" * (len(horizons) + 1) + "|",
    ]
    rows = [("dream", scores["dream"])]
    if against:
        rows.append((f"the default, `{default}`", against["dream"]))
    rows += [("copy of the last context frame", scores["copy"]), ("untrained model", scores["untrained"])]
    for label, row in rows:
        lines.append(f"| {label} | " + " | ".join(_cell(row[h]["ssim"]) for h in horizons) + " |")
    counted = scores["dream"][horizons[0]]["ssim"]
    return [*lines, "", f"n = {counted['n']} starts in {counted['episodes']} episodes."]


def _needle(scores: dict[str, Any]) -> list[str]:
    lines = [
        "| SSIM of returning views, last seen | memory | forgetful twin | autoencoder alone | the view as it was "
        "| n (episodes) |",
        "|---|---|---|---|---|---|",
    ]
    for ages, row in scores.items():
        cells = [_cell(row[name]) for name in ("memory", "forgetful", "ceiling", "recall")]
        lines.append(
            f"| {ages} frames ago | "
            + " | ".join(cells)
            + f" | {row['memory']['n']} ({row['memory']['episodes']}) |"
        )
    return lines


def _alone(scores: dict[str, Any]) -> list[str]:
    parts = list(scores["lfd"])
    lines = ["| own frames | " + " | ".join(parts) + " |", "|---" * (len(parts) + 1) + "|"]
    rows = {"lfd": "dream", "true": "true frames", "elsewhere": "the same actions in other true worlds"}
    for name, label in rows.items():
        if row := scores.get(name):
            lines.append(f"| {label} | " + " | ".join(f"{row[part]:.2f}" for part in parts) + " |")
    return [
        *lines,
        "",
        f"The last part is {scores['ratio']:.1f} times as far as the first; {scores['collapsed']} of {scores['n']} "
        "dreams end farther away than any stretch of a true episode.",
    ]


SCORED = {
    "fvd": "FVD of 16-frame clips",
    "fd": "Fréchet distance of frames, EfficientNet",
    "precision": "precision",
    "coverage": "coverage",
    "recall": "recall",
}
"""Scores of `training.imagination` as a card names them."""


def _imagination(found: dict[str, Any]) -> list[str]:
    """Every score over all stretches, and the worst stretch's ratio to other true worlds, row by row."""
    s = found["settings"]
    rows = list(next(iter(found["scores"].values()))["rows"])
    lines = [
        f"What it imagines: {s['context']} true frames, then {s['frames']} of its own, roaming, in {s['seeds']} unseen "
        f"worlds from seed {s['first_seed']} (frames of each stretch and world: {s['frames_each']}, clips: "
        f"{s['clips_each']}; brackets are 95% intervals over worlds). Beside it its twin, another checkpoint where one "
        "is given, other true worlds, and these through the autoencoder, blurred, and cut to confetti.",
        "",
        "| | " + " | ".join(rows) + " |",
        "|---" * (len(rows) + 1) + "|",
    ]
    for score, name in SCORED.items():
        if (told := found["scores"].get(score)) is None:
            continue
        note = "" if told["usable"] else " (ranks the true ones wrongly: decides nothing)"
        for key, label in (("all", name + note), ("ratio", f"{name}, worst stretch over other true worlds'")):
            cells = [told["rows"][row][key] for row in rows]
            lines.append(
                f"| {label} | "
                + " | ".join(f"{_short(c['value'])} [{_short(c['low'])}, {_short(c['high'])}]" for c in cells)
                + " |"
            )
    return lines


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _mirror(found: dict[str, Any]) -> list[str]:
    """SSIM and LPIPS of ways back, by how far they led."""
    rows = list(next(iter(found["mirror"].values())))
    lines = [
        "Out into what nobody has seen and back: frames of the way back against those of the way out, SSIM and LPIPS "
        f"(AlexNet), {found['settings']['seeds']} worlds:",
        "",
        "| frames out | " + " | ".join(rows) + " |",
        "|---" * (len(rows) + 1) + "|",
    ]
    for steps, by_row in found["mirror"].items():
        cells = [f"{_cell(by_row[row]['ssim'])}, {_cell(by_row[row]['lpips'])}" for row in rows]
        lines.append(f"| {steps} | " + " | ".join(cells) + " |")
    return lines


def _methods(scores: dict[str, Any]) -> list[str]:
    """Every method with this one checkpoint."""
    first = next(iter(scores.values()))["ahead"]
    horizons = list(first["dream"])
    rows = {f"`{name}`": found["ahead"]["dream"] for name, found in scores.items()}
    rows["copy of the last context frame"] = first["copy"]
    lines = []
    for metric in [m for m in ("ssim", "lpips") if m in first["dream"][horizons[0]]]:
        lines += [f"| {metric.upper()}, frames ahead | " + " | ".join(horizons) + " |"]
        lines += ["|---" * (len(horizons) + 1) + "|"]
        for name, row in rows.items():
            lines.append(f"| {name} | " + " | ".join(_cell(row[h][metric]) for h in horizons) + " |")
        lines += [""]
    counted = first["dream"][horizons[0]]["ssim"]
    return [
        *lines,
        f"n = {counted['n']} starts in {counted['episodes']} episodes. "
        "A method with a window may know the actions to come.",
    ]


def _compared(config: Config, scores: dict[str, Any]) -> dict[str, Any] | None:
    """The default's scores ahead, if they are given.

    Raises:
        ValueError: they are of other episodes.
    """
    if not config.against:
        return None
    found: dict[str, Any] = json.loads(Path(config.against).read_text())["ahead"]
    if found["copy"] != scores["ahead"]["copy"]:
        raise ValueError(
            f"{config.against}: expected scores on the same episodes; evaluate both on one folder"
        )
    return found


def card(config: Config, loaded: Loaded[Any], scores: dict[str, Any]) -> str:
    """The card's Markdown."""
    world = config.name.split("_")[0]
    collect, held = f"python -m training.collect env={world}", f"data/{world}_held"
    d, training = loaded.description, loaded.description.training
    size = loaded.model.config.size
    play = {"video": " method=fifo", "ar_diffusion": " method=ar_diffusion"}.get(d.kind, "")
    part = {"video": "Denoiser and memory", "ar_diffusion": "Denoiser"}.get(
        d.kind, "Denoiser, memory and odometry"
    )
    parameters = sum(p.numel() for p in loaded.model.parameters()) / 1e6
    lines = [
        f"# {config.name}",
        "",
        f"A dream of `{d.env_id}` (version {d.env_version}, {size}x{size}), "
        f"{parameters:.1f} M parameters. Play it: `python run_demo.py --env {d.family}{play}`.",
        "",
        f"- Data: {config.data}",
        f"- Code: commit {_commit()}",
        f"- {part}: {training.get('steps')} steps in {training.get('seconds')} s, held-out losses "
        f"`{json.dumps(training.get('held_out'))}`",
    ]
    if alone := training.get("odometry"):
        lines.append(
            f"- Odometry alone: {alone['steps']} steps in {alone['seconds']} s; drift on held-out episodes after so "
            f"many frames of true pictures (world units, degrees) `{json.dumps(alone['drift'])}`"
        )
    if rollout := training.get("rollout"):
        lines.append(
            f"- Denoiser on its own long dreams: {rollout['steps']} steps in {rollout['seconds']} s, held-out losses "
            f"`{json.dumps(rollout['held_out'])}`"
        )
    if pixels := training.get("pixels"):
        lines.append(
            f"- Memory of pixels: {pixels['steps']} steps in {pixels['seconds']} s, SSIM of held-out dreamt frames as "
            f"drawn and as shown `{json.dumps(pixels['held_out'])}`"
        )
    if generator := training.get("generator"):
        lines.append(
            f"- Generator: {generator['steps']} steps in {generator['seconds']} s on {generator['walks']} walks, "
            f"held-out losses `{json.dumps(generator['held_out'])}`"
        )
    if config.autoencoder:
        lines.append(f"- Autoencoder: `{Path(config.autoencoder).read_text().strip()}` (held-out frames)")
    if config.hardware:
        lines.append(f"- Trained on: {config.hardware}")
    lines += [
        "",
        "## Scores",
        "",
        f"Held-out worlds; {_dials(scores)}; brackets are 95% bootstrap intervals over episodes; measured on "
        f"{scores['hardware']}.",
        "",
    ]
    if "methods" in scores:
        lines += [
            "How far ahead each method holds, blind, after 64 true frames:",
            "",
            *_methods(scores["methods"]),
            "",
        ]
    if "ahead" in scores:
        lines += [
            "How far ahead the dream holds, blind, after 64 true frames:",
            "",
            *_ahead(scores["ahead"], world, _compared(config, scores)),
            "",
        ]
    if "needle" in scores:
        lines += [
            f"What it remembers (history from truth, {scores.get('blind', 16)} frames blind at a time):",
            "",
            *_needle(scores["needle"]),
            "",
        ]
    if "alone" in scores:
        lines += [
            "Left alone after 64 true frames: latent Fréchet distance of what it dreams to all true frames:",
            "",
            *_alone(scores["alone"]),
            "",
        ]
    if config.imagination:
        lines += [*_imagination(json.loads(Path(config.imagination).read_text())), ""]
    if config.mirror:
        lines += [*_mirror(json.loads(Path(config.mirror).read_text())), ""]
    alone = f"policy=explore episodes=20 steps=370 out={held}_alone seed={config.alone_seed}"
    lines += [
        "The command:",
        "",
        "```",
        f"{collect} policy=explore episodes=8 out={held}_explore seed={config.ahead_seed}",
        f"{collect} policy=needle episodes=12 out={held}_needle seed={config.needle_seed}",
        *([f"{collect} {alone}"] if "alone" in scores else []),
        *(f"python -m training.evaluate checkpoint={config.name} {words}" for words in _words(scores, held)),
        *_imagining(config),
        "```",
    ]
    if config.note:
        lines += ["", config.note]
    return "\n".join(lines) + "\n"


def _imagining(config: Config) -> list[str]:
    """The commands behind what is told of imagination."""
    commands = []
    for file, module in ((config.imagination, "imagination"), (config.mirror, "imagination.mirror")):
        if file:
            told = json.loads(Path(file).read_text())["settings"]
            words = [f"{k}={told[k]}" for k in ("seeds", "clips_each", "precision") if k in told]
            commands.append(f"python -m training.{module} checkpoint={config.name} {' '.join(words)}")
    return commands


def _words(scores: dict[str, Any], held: str) -> list[str]:
    """What to give `training.evaluate` for these scores."""
    if "methods" in scores:
        first = next(iter(scores["methods"].values()))["ahead"]["dream"]
        count = max(s["ssim"]["episodes"] for s in first.values())
        told = {key: scores[key] for key in ("farthest", "starts", "precision") if scores.get(key)}
        return [
            " ".join(
                [f"method=all ahead={held}_explore episodes={count}", *(f"{k}={v}" for k, v in told.items())]
            )
        ]
    dials = f"denoising_steps={scores['denoising_steps']}"
    if scores.get("blind", 16) != 16:
        dials += f" blind={scores['blind']}"
    if scores["pose_from"] != "none":
        dials = f"budget={scores['budget']} {dials} pose_from={scores['pose_from']}"
    if not scores.get("second", True):
        dials += " second=false"
    if scores.get("alone_after"):
        dials += f" alone_after={scores['alone_after']}"
    words = []
    if "ahead" in scores:
        count = max(s["ssim"]["episodes"] for s in scores["ahead"]["dream"].values())
        words.append(f"ahead={held}_explore episodes={count} {dials}")
    if "needle" in scores:
        count = max(row["memory"]["episodes"] for row in scores["needle"].values())
        words.append(f"needle={held}_needle episodes={count} {dials}")
    if "alone" in scores:
        words.append(f"alone={held}_alone episodes={scores['alone']['n']} {dials}")
    return words


def _dials(scores: dict[str, Any]) -> str:
    if "methods" in scores:
        return "the presets as they are"
    steps, budget = scores["denoising_steps"], scores["budget"]
    if scores["pose_from"] == "none":
        return f"{steps} denoising steps a frame, one frame after the other"
    return f"{steps} denoising steps, budget {budget}, pose from the {scores['pose_from']}"


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


@command
def main(args: list[str]) -> int:
    config = load(Config, args)
    loaded = checkpoint.load_any(config.checkpoint)
    size = (loaded.path / WEIGHTS).stat().st_size
    if size > LARGEST:
        raise ValueError(
            f"{loaded.path / WEIGHTS} has {size / 2**20:.0f} MiB; a shipped checkpoint has at most 40"
        )
    scores = json.loads(Path(config.scores).read_text())
    target = SHIPPED / config.name
    target.mkdir(parents=True, exist_ok=True)
    for name in (WEIGHTS, CONFIG):
        if (loaded.path / name).resolve() != (target / name).resolve():
            shutil.copyfile(loaded.path / name, target / name)
    (target / CARD).write_text(card(config, loaded, scores))
    print(f"{target}: {size / 2**20:.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
