"""Measure a checkpoint on recorded, held-out episodes: how far ahead the dream holds, and what it remembers.

    python -m training.evaluate checkpoint=NAME_OR_PATH ahead=EXPLORE_DIR needle=NEEDLE_DIR alone=LONG_DIR out=FILE.json

*Ahead*: true context, then ``horizon`` frames dreamt blind under the recorded actions; SSIM and PSNR 1, 4, 16 and 64
frames ahead, for the dream, for copying the last context frame, and for an untrained model over the same autoencoder.
*Needle*: history from truth, ``blind=16`` frames blind at a time (paper, section 6.1); SSIM of returning views by how
many frames ago they were last seen, for the full memory and for its forgetful twin. With more frames blind much of what
comes back was seen in the dream alone. Intervals are 95% bootstraps over episodes.
*Alone*: true context, then 300 frames on recorded actions (episodes of ``steps=364``); latent Fréchet distance of parts
of them to all true frames, beside that of other true worlds under these actions, and how many dreams collapse;
``strips=FILE.png`` shows them. ``second=false`` leaves a second denoiser out; ``alone_after=N`` lets it take over after
so many frames without a true one, whatever the checkpoint says.
A pair of AR-Diffusion (`training.train_ar_diffusion`) is measured the same way. With ``method=NAME`` (or ``all`` of
them) the checkpoint is a video model (`training.train_video`), played by that method, which may know the recorded
actions of the frames to come. Episodes are recorded by `training.collect`, so that the numbers come from the same
frames every time.

Where the extra ``perceptual`` is installed, LPIPS (over AlexNet) stands beside SSIM in *ahead* and *needle*, and the
Fréchet video distance beside the latent one in *alone* (16-frame clips, about a second each on one thread);
``perceptual=false`` leaves them out, ``perceptual=true`` does not go on without them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from omegaconf import MISSING
from PIL import Image
from tqdm import tqdm

from envs.episodes.episode import Episode
from training.data.episodes import open_episodes
from training.evaluation.free_running import elsewhere, held, left_alone, strips, videos
from training.evaluation.lockstep import Dream, step_all
from worldsim import checkpoint
from worldsim.actions import check_same
from worldsim.checkpoint import Loaded
from worldsim.cli.command import command
from worldsim.config import ConfigError, load
from worldsim.diffusion import methods
from worldsim.diffusion.methods import method
from worldsim.dream.ar_diffusion import ArDream
from worldsim.dream.video import MethodDream
from worldsim.dream.world import DreamEnv
from worldsim.frames import larger, smaller, to_tensor, to_uint8
from worldsim.metrics.bootstrap import interval
from worldsim.metrics.perceptual import NetworkError, Perceptual
from worldsim.metrics.retrieval import RANGE_NAMES, RevisitFinder
from worldsim.metrics.ssim import psnr, ssim
from worldsim.models.ar_diffusion import ArDiffusion
from worldsim.models.autoencoders.ar_vae import ArVae
from worldsim.runtime import hardware, pick_device

HORIZONS = (1, 4, 16, 64)
ALL = "all"  # every preset, one after the other
K = TypeVar("K", bound=Hashable)
Pairs = dict[K, list[tuple[np.ndarray, np.ndarray]]]  # of a true frame and one to compare with it


@dataclass
class Config:
    checkpoint: str = MISSING
    ahead: str = ""
    needle: str = ""
    alone: str = ""
    strips: str = ""
    out: str = ""
    episodes: int = 0
    context: int = 64
    blind: int = 16
    budget: int = 16
    denoising_steps: int = 2
    pose_from: str = "dream"
    precision: str = "fp32"
    second: bool = True
    alone_after: int = 0  # 0: what the checkpoint says
    method: str = ""
    perceptual: str = "auto"  # true, false, or auto: where it is installed
    seed: int = 0
    device: str = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        if self.blind < 1:
            raise ConfigError(f"blind: expected at least 1 frame, found {self.blind}")
        self.perceptual = self.perceptual.lower()
        if self.perceptual not in ("auto", "true", "false"):
            raise ConfigError(f"perceptual: expected auto, true or false, found {self.perceptual}")


def untrained(loaded: Loaded[Any]) -> Loaded[Any]:
    """The same model with random weights, over the trained autoencoder."""
    torch.manual_seed(0)
    model = type(loaded.model)(loaded.model.config)
    model.autoencoder.load_state_dict(loaded.model.autoencoder.state_dict())
    device = next(loaded.model.parameters()).device
    return Loaded(model.to(device).eval(), loaded.description, loaded.path)


def _dream(loaded: Loaded[Any], config: Config, episodes: list[Episode], **dials: Any) -> Dream:
    if config.method:
        played = MethodDream(loaded, method(config.method), config.seed)
        played.history = dials.get("history", played.history)
        return played
    if isinstance(loaded.model, ArDiffusion):
        return ArDream(loaded, config.denoising_steps, dials.get("history"), config.seed)
    return DreamEnv(
        loaded,
        budget=config.budget,
        denoising_steps=config.denoising_steps,
        pose_from=config.pose_from,
        precision=config.precision,
        seed=config.seed,
        second=config.second,
        alone_after=config.alone_after or None,
        size=episodes[0].frames(0, 1).shape[1],
        **dials,
    )


def measure_ahead(
    loaded: Loaded[Any], episodes: list[Episode], config: Config, networks: Perceptual | None = None
) -> dict[str, Any]:
    """SSIM, PSNR and by ``networks`` LPIPS at each horizon: {who: {horizon: {"ssim", "psnr", "lpips"}}}.

    Who is dream, copy and untrained. A method is not measured untrained: that says nothing of the method.
    """
    dreams = {"dream": _dream(loaded, config, episodes)}
    if not config.method:
        dreams["untrained"] = _dream(untrained(loaded), config, episodes)
    scores: dict[tuple[str, int, str], list[list[float]]] = {}
    for episode in tqdm(episodes, "ahead", unit="episode"):
        row: dict[tuple[str, int, str], list[float]] = {}
        pairs: Pairs[tuple[str, int, str]] = {}
        step = config.context + max(HORIZONS)
        for start in range(0, len(episode) - step, step):
            first = start + config.context
            true = episode.frames(start, start + step)
            actions = episode.action_vectors()[start : start + step - 1]
            poses = None if episode.poses is None else episode.poses[start : start + step]
            past = {"frames": true[: config.context], "actions": list(actions[: config.context - 1])}
            past |= {} if poses is None else {"poses": poses[: config.context]}
            shown: dict[str, np.ndarray] = {"copy": true[config.context - 1]}
            for dream in dreams.values():
                dream.reset(seed=config.seed + first, options=past)
            for ahead in range(1, max(HORIZONS) + 1):
                i = config.context + ahead - 1
                shown |= step_all(dreams, actions, i - 1, None if poses is None else poses[i])
                if ahead in HORIZONS:
                    for name, frame in shown.items():
                        row.setdefault((name, ahead, "ssim"), []).append(ssim(true[i], frame))
                        row.setdefault((name, ahead, "psnr"), []).append(psnr(true[i], frame))
                        pairs.setdefault((name, ahead, "lpips"), []).append((true[i], frame))
        row |= _lpips(networks, pairs)
        for key, values in row.items():
            scores.setdefault(key, []).append(values)
    metrics = ("ssim", "psnr", *(("lpips",) if networks else ()))
    return {
        name: {str(h): {k: interval(scores.get((name, h, k), [])) for k in metrics} for h in HORIZONS}
        for name in ("dream", "copy", "untrained")
        if name in dreams or name == "copy"
    }


def measure_needle(
    loaded: Loaded[Any], episodes: list[Episode], config: Config, networks: Perceptual | None = None
) -> dict[str, Any]:
    """SSIM of revisits by age range, memory and forgetful, history from truth, as ``needle``; ``needle_lpips``.

    Each is {range: {"memory", "forgetful"}}; the latter, LPIPS, is there with ``networks`` only. Also the autoencoder's
    own reconstruction of the same frames (``ceiling``, of what is drawn from latents alone) and the view as it was
    (``recall``).
    """
    dreams: dict[str, Dream] = {"memory": _dream(loaded, config, episodes)}
    dreams["forgetful"] = _dream(loaded, config, episodes, history=dreams["memory"].window)
    scores: dict[tuple[str, str, str], list[list[float]]] = {}
    for episode in tqdm(episodes, "needle", unit="episode"):
        row: dict[tuple[str, str, str], list[float]] = {}
        pairs: Pairs[tuple[str, str, str]] = {}
        true, actions, poses = episode.frames(0, len(episode)), episode.action_vectors(), episode.poses
        finder = RevisitFinder()
        finder.add(true[0], None if poses is None else poses[0], 0)
        for dream in dreams.values():
            dream.reset(seed=config.seed, options={"frames": true[:1], "actions": []})
        for i in range(1, len(true)):
            revisit = finder.add(true[i], None if poses is None else poses[i], i)
            shown = step_all(dreams, actions, i - 1, None if poses is None else poses[i])
            if revisit is not None:
                shown["ceiling"] = _reconstruct(loaded, true[i])
                shown["recall"] = _as_large(revisit.thumbnail, len(true[i]))
                for name, frame in shown.items():
                    row.setdefault((revisit.range, name, "needle"), []).append(ssim(true[i], frame))
                    pairs.setdefault((revisit.range, name, "needle_lpips"), []).append((true[i], frame))
            if i % config.blind == 0:
                newest = slice(i - config.blind + 1, i + 1)
                for dream in dreams.values():
                    dream.correct(true[newest], None if poses is None else poses[newest])
        row |= _lpips(networks, pairs)
        for key, values in row.items():
            scores.setdefault(key, []).append(values)
    names = ("memory", "forgetful", "ceiling", "recall")
    return {
        k: {r: {name: interval(scores.get((r, name, k), [])) for name in names} for r in RANGE_NAMES}
        for k in ("needle", *(("needle_lpips",) if networks else ()))
    }


def _lpips(networks: Perceptual | None, pairs: Pairs[K]) -> dict[K, list[float]]:
    """LPIPS of every pair; nothing without networks."""
    if networks is None:
        return {}
    found = {}
    for key, rows in pairs.items():
        true, shown = (np.stack(frames) for frames in zip(*rows, strict=True))
        found[key] = networks.lpips(true, shown).tolist()
    return found


@torch.inference_mode()
def _reconstruct(loaded: Loaded[Any], frame: np.ndarray) -> np.ndarray:
    autoencoder = loaded.model.autoencoder
    x = to_tensor(smaller(frame[None], loaded.model.config.size), next(autoencoder.parameters()).device)
    if isinstance(autoencoder, ArVae):  # its decoder takes videos; here one of a single frame
        return to_uint8(autoencoder.decode(autoencoder.encode(x)[None])[0])[0]
    return to_uint8(larger(autoencoder.decode(autoencoder.encode(x)), len(frame)))[0]


def _as_large(frame: np.ndarray, size: int) -> np.ndarray:
    return frame if len(frame) == size else to_uint8(larger(to_tensor(frame[None]), size))[0]


def _networks(asked: str, device: torch.device) -> Perceptual | None:
    """The networks of LPIPS and FVD, unless they are not asked for, or not there and not asked for by name."""
    if asked == "false":
        return None
    try:
        return Perceptual.load(device)
    except NetworkError as error:
        if asked == "true":
            raise
        print(f"no LPIPS and no FVD: {error}")
        return None


def _loaded(name: str, device: torch.device) -> Loaded[Any]:
    """A checkpoint that plays by its own method."""
    pair = checkpoint.describe(name)[1].kind == "ar_diffusion"
    return checkpoint.load_ar_diffusion(name, device) if pair else checkpoint.load(name, device)


def _table(rows: Iterable[tuple[str, dict[str, Any]]]) -> str:
    def cell(s: dict[str, Any]) -> str:
        return "-" if s["mean"] is None else f"{s['mean']:.3f} [{s['low']:.3f}, {s['high']:.3f}] n={s['n']}"

    return "\n".join(
        f"{name:22s} " + "  ".join(f"{k}: {cell(v)}" for k, v in cells.items()) for name, cells in rows
    )


def _held(found: dict[str, Any]) -> str:
    beside = [name for name in ("true", "elsewhere") if name in found]
    parts = "  ".join(
        f"{k}: {v:.2f} ({', '.join(f'{name} {found[name][k]:.2f}' for name in beside)})"
        for k, v in found["lfd"].items()
    )
    return f"left alone, LFD  {parts}  last/first {found['ratio']:.2f}, collapsed {found['collapsed']}/{found['n']}"


def _videos(found: dict[str, Any]) -> str:
    rows = (
        f"{who} " + "  ".join(f"{k}: {v:.1f}" for k, v in found[who].items()) for who in found if who != "n"
    )
    return f"left alone, FVD of {found['n']} clips a stretch  " + "; ".join(rows)


@command
def main(args: list[str]) -> int:
    if any(word.startswith(("table=", "figure=")) for word in args):
        from training.study.run import run

        return run(args)
    config = load(Config, args)
    if config.threads:
        torch.set_num_threads(config.threads)
    device = pick_device(config.device)
    loaded: Loaded[Any] = (
        checkpoint.load_video(config.checkpoint, device)
        if config.method
        else _loaded(config.checkpoint, device)
    )
    networks = _networks(config.perceptual, device)
    result: dict[str, Any] = {
        "checkpoint": config.checkpoint,
        "budget": config.budget,
        "denoising_steps": config.denoising_steps,
        "blind": config.blind,
        "pose_from": config.pose_from,
        "second": config.second,
        "alone_after": config.alone_after,
        "seed": config.seed,
        "hardware": hardware(device),
    }
    if networks:
        result["perceptual"] = {"lpips": networks.origin["lpips_alex"], "fvd": networks.origin["i3d"]}
        print("; ".join(f"{name.upper()}: {weights}" for name, weights in result["perceptual"].items()))
    if config.method:
        result |= {"method": config.method, "pose_from": "none"}
        for own in ("budget", "denoising_steps", "second", "alone_after"):  # the method has its own
            del result[own]
    if isinstance(loaded.model, ArDiffusion):
        if config.alone:
            raise ConfigError(
                "alone=: the latents of a pair are tokens, of which there is no Fréchet distance here"
            )
        result |= {"budget": 0, "pose_from": "none"}
        del result["second"], result["alone_after"]

    def held_out(folder: str) -> list[Episode]:
        episodes = open_episodes(Path(folder))
        check_same(loaded.action_spec, episodes[0].meta["action_spec"], config.checkpoint, folder)
        return episodes[: config.episodes or None]

    def measured(config: Config) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if config.ahead:
            found["ahead"] = measure_ahead(loaded, held_out(config.ahead), config, networks)
            rows = found["ahead"].items()
            for metric in ("ssim", *(("lpips",) if networks else ())):
                print(f"{metric.upper()}, frames ahead")
                print(_table((who, {h: v[metric] for h, v in row.items()}) for who, row in rows))
        if config.needle:
            needle = measure_needle(loaded, held_out(config.needle), config, networks)
            found |= needle
            for name, scores in needle.items():
                print(f"{'LPIPS' if name.endswith('lpips') else 'SSIM'} of returning views, by age")
                print(_table(scores.items()))
        if config.alone:
            episodes = held_out(config.alone)
            dreamt = left_alone(_dream(loaded, config, episodes), episodes, config.context, config.seed)
            other = elsewhere(episodes, config.context)
            found["alone"] = held(loaded.encode, episodes, dreamt, config.context, other)
            print(_held(found["alone"]))
            if networks:
                seen = videos(networks.clip_features, episodes, dreamt, config.context, other)
                found["alone"]["fvd"] = seen
                print(_videos(seen))
            if config.strips:
                Image.fromarray(strips(episodes, dreamt, config.context)).save(config.strips)
        return found

    if config.method == ALL:
        result["methods"] = {}
        for name in methods.names():
            print(name)
            result["methods"][name] = measured(replace(config, method=name))
    else:
        result |= measured(config)
    if config.out:
        Path(config.out).write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
