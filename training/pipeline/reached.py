"""What a stage has reached, in a few words, from what it left in the run's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training.data.episodes import open_episodes
from training.data.walks import episodes, read
from worldsim import checkpoint


def reached(name: str, out: Path, data: Path) -> str:
    """Of the stage of this name; the run is in ``out``, its episodes in ``data``."""
    if name == "collect":
        some = open_episodes(data)
        return f"{len(some)} episodes, {sum(map(len, some))} frames"
    if name == "walks":
        return f"{len(list(episodes(read(out / name))))} walks"
    if name == "autoencoder":
        result = json.loads((out / name / "autoencoder.json").read_text("utf-8"))
        scores = f"PSNR {result['psnr']:.1f} dB, SSIM {result['ssim']:.3f} (n {result['n']})"
        return f"{result['steps']} steps, held-out {scores}"
    training = checkpoint.describe(str(out / name / "checkpoint"))[1].training
    result = training if name == "memory" else training[name]
    words = [f"{result['steps']} steps"]
    held = result.get("held_out", {})
    for key, what in (
        ("x0", "held-out error of latents"),
        ("shown", "SSIM of held-out frames"),
        ("loss", "held-out loss"),
    ):
        if key in held:
            words.append(f"{what} {held[key]:.3f}")
            break
    if drift := result.get("drift", {}).get("16"):
        words.append(f"{drift['across']:.2f} off after 16 frames (n {drift['n']})")
    return ", ".join(words)


def last(out: Path, posed: bool) -> Path:
    """The checkpoint of the last stage that trains."""
    return out / ("generator" if posed else "memory") / "checkpoint"


def description(path: Path) -> Any:
    """What a checkpoint says of itself."""
    return checkpoint.describe(str(path))[1]
