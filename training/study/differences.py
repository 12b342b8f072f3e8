"""What a timestep difference does to the pictures: table 2 of AR-Diffusion over one trained pair.

    python -m training.compare_differences checkpoint=labmaze_ar_diffusion held_out=DIR out=FILE.json table=FILE.md

The pair goes on with the same held-out clips by the AD scheduler at every s of ``differences``, in units of
``denoising_steps``: s = 0 denoises all new frames together, s = ``denoising_steps`` one after the other. Measured are
SSIM and PSNR some frames ahead (95% bootstrap intervals over episodes), the latent Fréchet distance in the feature
space of the checkpoint ``features`` and, with the extra ``perceptual``, FVD (both with jackknife intervals).
Beside them stand the AR-VAE alone and the last given frame, held. What it costs is `python -m training.benchmark ad`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from training.data.episodes import open_episodes
from training.study.continuing import (
    AHEAD,
    ClipsConfig,
    Reference,
    continued,
    copied,
    held_out,
    networks_or_none,
    rebuilt,
)
from training.study.markdown import interval
from worldsim import checkpoint
from worldsim.actions import check_same
from worldsim.cli.command import command
from worldsim.config import ConfigError, load
from worldsim.config.addresses import prepare_output, write_text
from worldsim.diffusion.ad_scheduler import Plan
from worldsim.models.ar_diffusion import Sampling
from worldsim.runtime import hardware, pick_device, use_threads

PAPER = {
    0: (71.9, 40.8, 80.9, 194.4),
    5: (78.1, 55.2, 66.3, 194.0),
    10: (84.4, 57.6, 70.9, 212.2),
    15: (83.5, 55.6, 69.4, 186.6),
    20: (83.3, 56.3, 67.0, 201.1),
    25: (79.0, 48.4, 75.1, 191.6),
    50: (82.8, 50.6, 71.7, 192.6),
}
"""FVD of the paper's 16-frame rows by s of 50: FaceForensics, Sky-Timelapse, Taichi-HD, UCF-101 (256x256)."""
DISTANCES = ("fvd", "lfd")
DIGITS = {"ssim": 3, "psnr": 1, "fvd": 0, "lfd": 2}
LABELS = {"ssim": "SSIM", "psnr": "PSNR", "fvd": "FVD", "lfd": "LFD"}


@dataclass
class Config(ClipsConfig):
    """``guidance`` 1 follows the actions as trained; ``precision`` is I3D's."""

    checkpoint: str = MISSING
    out: str = MISSING
    table: str = ""
    differences: list[float] = field(default_factory=lambda: [0, 5, 10, 15, 20, 25, 50])
    denoising_steps: int = 50
    guidance: float = 1.0
    features: str = "labmaze"
    precision: str = "auto"
    device: str = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        if not self.differences:
            raise ConfigError("differences: expected at least one")


def markdown(summary: dict[str, Any]) -> str:
    """The table of what was found, a row a difference."""
    names = [f"{kind}_{n}" for kind in ("ssim", "psnr") for n in AHEAD] + list(DISTANCES)
    names = [name for name in names if name in summary["rows"][0]["scores"]]
    heads = [" ".join([LABELS[n.split("_")[0]], *n.split("_")[1:]]) for n in names]
    lines = [
        "| s | network calls | " + " | ".join(heads) + " | paper's FVD |",
        "|---" * (len(names) + 3) + "|",
    ]
    for row in summary["rows"]:
        cells = [interval(row["scores"][name], n=False, digits=DIGITS[name.split("_")[0]]) for name in names]
        paper = PAPER.get(row["difference"]) if summary["denoising_steps"] == 50 else None
        theirs = ", ".join(f"{x:g}" for x in paper) if paper else "-"
        lines.append(" | ".join([f"| {row['label']}", str(row["calls"]), *cells, f"{theirs} |"]))
    about = (
        f"{summary['clips']} held-out clips of {summary['episodes']} episodes, {summary['given']} true frames and "
        f"then {summary['frames']} new ones, {summary['denoising_steps']} DDIM steps, `{summary['checkpoint']}`. "
        "Brackets: 95%, SSIM and PSNR by bootstrap, distances by jackknife over episodes. LFD is in the latents of "
        f"`{summary['features']}`. The paper's are FaceForensics, Sky-Timelapse, Taichi-HD and UCF-101."
    )
    return "\n".join(
        [*lines, "", about, "", f"`{summary['command']}`", "", f"Measured on {summary['hardware']}."]
    )


@command
def main(args: list[str]) -> int:
    config = load(Config, args)
    prepare_output("out", config.out, ".json", store=True)
    prepare_output("table", config.table, ".md", store=True)
    use_threads(config.threads)
    device = pick_device(config.device)
    loaded, episodes = checkpoint.load_ar_diffusion(config.checkpoint, device), open_episodes(config.held_out)
    check_same(loaded.action_spec, episodes[0].meta["action_spec"], config.checkpoint, config.held_out)
    model = loaded.model
    clips, rows = held_out(config, episodes), list[dict[str, Any]]()
    encode = checkpoint.load(config.features, device).encode
    networks = networks_or_none(device, config.precision)
    reference = Reference(clips.frames[:, config.given :], clips, encode, networks)

    def add(label: str, difference: float | None, calls: int, made: Any) -> None:
        found = reference.scores(made)
        rows.append({"label": label, "difference": difference, "calls": calls, "scores": found})
        print(json.dumps({"s": label} | {k: v["mean"] for k, v in found.items()}), flush=True)

    for s in config.differences:
        sampling = Sampling(s, config.denoising_steps, config.guidance)
        calls = Plan(config.frames, s, config.denoising_steps, config.given).calls
        add(f"{s:g}", s, calls, continued(model, clips, config.given, sampling))
    add("AR-VAE alone", None, 0, rebuilt(model, clips, config.given))
    add("last given frame", None, 0, copied(clips, config.given))
    summary = {
        "command": " ".join(["python -m training.compare_differences", *args]),
        "hardware": hardware(device),
        "clips": len(clips.frames),
        "episodes": sum(1 for n in clips.each if n),
        **{k: getattr(config, k) for k in ("checkpoint", "given", "frames", "denoising_steps", "features")},
        "rows": rows,
    }
    write_text(config.out, json.dumps(summary, indent=1) + "\n")
    if config.table:
        write_text(config.table, markdown(summary) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
