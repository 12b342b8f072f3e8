"""The ablation of AR-Diffusion (table 3 of the paper) at a small size, over one trained AR-VAE.

    python -m training.ablate_ar_diffusion data=DIR held_out=DIR autoencoder=RUN/ar_vae.safetensors out=DIR

Every row is trained the same ``steps`` from the same seeds and continues the same held-out clips by the AD scheduler:
``given`` true frames, then ``frames`` new ones under the recorded actions. Measured are SSIM and PSNR some frames
ahead, with 95% bootstrap intervals over episodes, and the latent Frechet distance (LFD) of the new clips in the feature
space of the checkpoint ``features`` and, with the extra ``perceptual``, LPIPS and FVD, with jackknife intervals for
distances. LFD is no FVD: other features, another scale. Rows are compared by pairs, over the same clips.

Rows of the paper are cumulative, each takes one more thing away; the others change one thing alone. ``rows`` chooses
(`all` by default). The row without the improved AR-VAE needs ``plain=FILE``, an AR-VAE trained with
`stages.adversarial=0 stages.causal=0`. Each row and seed leaves OUT/ROW-SEED.json; the same command goes on after a
kill and adds what is missing. OUT/ablation.json has everything, ``table=FILE.md`` is the page for it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import MISSING

from training.data.episodes import open_episodes
from training.study.ablation_claims import claims
from training.study.ablation_table import markdown
from training.study.continuing import (
    ClipsConfig,
    Reference,
    continued,
    copied,
    held_out,
    networks_or_none,
    rebuilt,
)
from training.train import ar_diffusion as train_ar_diffusion
from worldsim import checkpoint
from worldsim.cli.command import command
from worldsim.config import ConfigError, load
from worldsim.models.ar_diffusion import Sampling
from worldsim.runtime import hardware, pick_device, use_threads

CAUSAL, EPS = "model.denoiser.causal=false", "model.prediction=eps"
FREE = ["timesteps=independent", "non_decreasing=false"]
ROWS: dict[str, list[str]] = {
    "whole": [],
    "-fopp": ["timesteps=uniform_first"],
    "-vae": ["timesteps=uniform_first"],
    "-causal": ["timesteps=uniform_first", CAUSAL],
    "-x0": ["timesteps=uniform_first", CAUSAL, EPS],
    "-non_decreasing": [*FREE, CAUSAL, EPS],
    "independent": FREE,
    "equal": ["timesteps=equal"],
    "both_ways": [CAUSAL],
    "eps": [EPS],
    "v": ["model.prediction=v"],
}
"""What each row trains with: the paper's six in its order, then single changes."""
PLAIN = "-vae"  # the row over the plain AR-VAE; those behind it have the improved one again


@dataclass
class Config(ClipsConfig):
    """``difference`` and ``denoising_steps`` are the AD scheduler's; 1 of 10 is the paper's 5 of 50. ``networks``:
    whether LPIPS and FVD are measured, where the extra ``perceptual`` is installed, in ``precision``."""

    data: str = MISSING
    held_out: str = MISSING
    autoencoder: str = MISSING
    out: str = MISSING
    table: str = ""
    plain: str = ""
    features: str = "labmaze"
    rows: list[str] = field(default_factory=lambda: ["all"])
    seeds: list[int] = field(default_factory=lambda: [0, 1])
    steps: int = 300
    words: list[str] = field(default_factory=list)
    difference: float = 1
    denoising_steps: int = 10
    networks: bool = True
    precision: str = "auto"
    device: str = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        wanted = list(ROWS) if "all" in self.rows else self.rows
        if unknown := [row for row in wanted if row not in ROWS]:
            raise ConfigError(f"rows: expected some of {', '.join(ROWS)}, found {unknown[0]!r}")
        self.rows = [row for row in wanted if row != PLAIN or self.plain]
        if not self.rows or not self.seeds:
            raise ConfigError(f"expected a row and a seed; the row {PLAIN} needs plain=FILE as well")


def row(config: Config, name: str, seed: int, reference: Reference, device: torch.device) -> dict[str, Any]:
    """Train one row with one seed, unless it is there, and measure it.

    Raises:
        ConfigError: its training did not end well.
    """
    run = Path(config.out) / f"{name}-{seed}"
    file = run.with_name(f"{run.name}.json")
    if file.exists():
        return dict(json.loads(file.read_text()))
    words = [f"data={config.data}", f"held_out={config.held_out}", f"out={run}", f"seed={seed}"]
    words += [f"autoencoder={config.plain if name == PLAIN else config.autoencoder}"]
    words += [f"steps={config.steps}", "seconds=1e9", f"latents={Path(config.out) / 'latents'}"]
    words += [
        f"threads={config.threads}",
        f"length={config.given + config.frames}",
        *config.words,
        *ROWS[name],
    ]
    if train_ar_diffusion.main(words):
        raise ConfigError(f"the training of row {name} did not end well; see above")
    model = checkpoint.load_ar_diffusion(str(run / "checkpoint"), device).model
    sampling = Sampling(config.difference, config.denoising_steps)
    made = continued(model, reference.clips, config.given, sampling)
    result = {
        "row": name,
        "seed": seed,
        "words": ROWS[name],
        "training": checkpoint.describe(str(run / "checkpoint"))[1].training,
        "scores": reference.scores(made),
        "autoencoder": reference.scores(rebuilt(model, reference.clips, config.given)),
        "clips": reference.per_clip(made),
    }
    file.write_text(json.dumps(result, indent=1) + "\n")
    return result


@command
def main(args: list[str]) -> int:
    config = load(Config, args)
    use_threads(config.threads)
    device, out = pick_device(config.device), Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    clips = held_out(config, open_episodes(config.held_out))
    encode = checkpoint.load(config.features, device).encode
    networks = networks_or_none(device, config.precision) if config.networks else None
    reference = Reference(clips.frames[:, config.given :], clips, encode, networks)
    results = [row(config, name, seed, reference, device) for seed in config.seeds for name in config.rows]
    results.sort(key=lambda r: (list(ROWS).index(r["row"]), r["seed"]))
    values: dict[str, list[Any]] = {}
    for result in results:
        values.setdefault(result["row"], []).append(result["clips"])
    copies = copied(clips, config.given)
    summary = {
        "command": " ".join(["python -m training.ablate_ar_diffusion", *args]),
        "hardware": hardware(device),
        "steps": config.steps,
        "clips": len(clips.frames),
        "episodes": sum(1 for n in clips.each if n),
        "given": config.given,
        "frames": config.frames,
        "difference": config.difference,
        "denoising_steps": config.denoising_steps,
        "features": config.features,
        "copying": reference.scores(copies),
        "claims": claims(values, reference.per_clip(copies)),
        "results": results,
    }
    (out / "ablation.json").write_text(json.dumps(summary, indent=1) + "\n")
    if config.table:
        Path(config.table).write_text(markdown(summary))
    print(json.dumps({k: v for k, v in summary.items() if k not in ("results", "claims")}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
