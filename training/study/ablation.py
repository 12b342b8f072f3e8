"""The ablation of AR-Diffusion (table 3 of the paper) at a small size, over one trained AR-VAE.

    python -m training.ablate_ar_diffusion data=DIR held_out=DIR autoencoder=RUN/ar_vae.safetensors out=DIR

Every row is trained the same ``steps`` from the same seeds and continues the same held-out clips by the AD scheduler:
``given`` true frames, then ``frames`` new ones under the recorded actions. Measured are SSIM and PSNR some frames
ahead, with 95% bootstrap intervals over episodes, and the latent Frechet distance (LFD) of the new clips in the feature
space of the checkpoint ``features``, with jackknife intervals. LFD is no FVD: other features, another scale.

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

import numpy as np
import torch
from omegaconf import MISSING

from envs.episodes.episode import Episode
from training.data.episodes import open_episodes
from training.study.ablation_table import markdown
from training.study.resample import jackknife
from training.train import ar_diffusion as train_ar_diffusion
from worldsim import checkpoint
from worldsim.cli.command import command
from worldsim.config import ConfigError, load
from worldsim.frames import to_tensor, to_uint8
from worldsim.metrics.bootstrap import interval
from worldsim.metrics.frechet import clip_features, fit, frechet_distance
from worldsim.metrics.ssim import psnr, ssim
from worldsim.models.ar_diffusion import ArDiffusion, Sampling
from worldsim.runtime import hardware, pick_device

AHEAD = (1, 4, 16)
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
class Config:
    """``difference`` and ``denoising_steps`` are the AD scheduler's; 1 of 10 is the paper's 5 of 50."""

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
    clips: int = 2
    given: int = 4
    frames: int = 16
    difference: float = 1
    denoising_steps: int = 10
    device: str = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        wanted = list(ROWS) if "all" in self.rows else self.rows
        if unknown := [row for row in wanted if row not in ROWS]:
            raise ConfigError(f"rows: expected some of {', '.join(ROWS)}, found {unknown[0]!r}")
        self.rows = [row for row in wanted if row != PLAIN or self.plain]
        if not self.rows or not self.seeds:
            raise ConfigError(f"expected a row and a seed; the row {PLAIN} needs plain=FILE as well")


@dataclass
class Clips:
    """Held-out clips (n, G + F, H, W, 3), what led to each frame (n, G + F, A), and how many each episode gave."""

    frames: np.ndarray
    actions_before: np.ndarray
    each: list[int]


def held_out(config: Config, episodes: list[Episode]) -> Clips:
    """``config.clips`` stretches an episode, evenly spread.

    Raises:
        ConfigError: no episode is long enough.
    """
    length, frames, actions_before, each = config.given + config.frames, [], [], []
    for episode in episodes:
        last = len(episode) - length
        starts = sorted({int(i) for i in np.linspace(1, last, config.clips)}) if last >= 1 else []
        actions = episode.action_vectors()
        frames += [episode.frames(i, i + length) for i in starts]
        actions_before += [actions[i - 1 : i + length - 1] for i in starts]
        each.append(len(starts))
    if not frames:
        raise ConfigError(f"{config.held_out}: expected episodes of more than {length} frames, found none")
    return Clips(np.stack(frames), np.stack(actions_before), each)


@torch.inference_mode()
def continued(model: ArDiffusion, clips: Clips, config: Config) -> np.ndarray:
    """The new frames of every clip, uint8 (n, F, H, W, 3)."""
    device = next(model.parameters()).device
    sampling = Sampling(config.difference, config.denoising_steps)
    random, made = torch.Generator().manual_seed(0), []
    for shown, actions_before in zip(clips.frames, clips.actions_before, strict=True):
        given = model.autoencoder.encode(to_tensor(shown[: config.given], device))[None]
        actions = model.normalise(torch.as_tensor(actions_before, device=device))[None]
        latents = torch.cat([given, model.generate(given, actions, sampling, random)], 1)
        made.append(to_uint8(model.autoencoder.decode(latents)[0, config.given :]))
    return np.stack(made)


@torch.inference_mode()
def rebuilt(model: ArDiffusion, clips: Clips, config: Config) -> np.ndarray:
    """The same frames as the AR-VAE alone shows them."""
    device = next(model.parameters()).device
    made = []
    for shown in clips.frames:
        latents = model.autoencoder.encode(to_tensor(shown, device))[None]
        made.append(to_uint8(model.autoencoder.decode(latents)[0, config.given :]))
    return np.stack(made)


def scores(made: np.ndarray, true: np.ndarray, clips: Clips, encode: Any) -> dict[str, Any]:
    """SSIM and PSNR at each distance, and LFD, of clips (n, F, H, W, 3) against the true ones."""
    cuts = np.cumsum(clips.each)[:-1]
    found: dict[str, Any] = {}
    for name, measure in (("ssim", ssim), ("psnr", psnr)):
        for ahead in (a for a in AHEAD if a <= true.shape[1]):
            values = np.array([measure(t[ahead - 1], m[ahead - 1]) for t, m in zip(true, made, strict=True)])
            groups: list[list[float]] = [part.tolist() for part in np.split(values, cuts)]
            found[f"{name}_{ahead}"] = interval(groups)
    pairs = zip(clip_features(encode, true), clip_features(encode, made), strict=True)
    rows = np.array([np.stack(pair) for pair in pairs])  # (n, 2, D)

    def distance(parts: Any) -> float:
        both = np.concatenate(parts)
        return frechet_distance(fit(both[:, 0]), fit(both[:, 1]))

    # An episode is left out whole: its clips are no independent samples.
    return found | {"lfd": jackknife([part for part in np.split(rows, cuts) if len(part)], distance)}


def row(config: Config, name: str, seed: int, clips: Clips, device: torch.device) -> dict[str, Any]:
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
    encode, true = checkpoint.load(config.features, device).encode, clips.frames[:, config.given :]
    result = {
        "row": name,
        "seed": seed,
        "words": ROWS[name],
        "training": checkpoint.describe(str(run / "checkpoint"))[1].training,
        "scores": scores(continued(model, clips, config), true, clips, encode),
        "autoencoder": scores(rebuilt(model, clips, config), true, clips, encode),
    }
    file.write_text(json.dumps(result, indent=1) + "\n")
    return result


@command
def main(args: list[str]) -> int:
    config = load(Config, args)
    if config.threads:
        torch.set_num_threads(config.threads)
    device, out = pick_device(config.device), Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    clips = held_out(config, open_episodes(config.held_out))
    results = [row(config, name, seed, clips, device) for seed in config.seeds for name in config.rows]
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
        "results": sorted(results, key=lambda r: (list(ROWS).index(r["row"]), r["seed"])),
    }
    (out / "ablation.json").write_text(json.dumps(summary, indent=1) + "\n")
    if config.table:
        Path(config.table).write_text(markdown(summary))
    print(json.dumps({k: v for k, v in summary.items() if k != "results"}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
