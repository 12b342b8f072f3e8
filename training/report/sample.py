"""Make videos with AR-Diffusion: seed frames and actions in, a grid of pictures and a video out.

    python -m training.sample checkpoint=RUN/checkpoint prompt=EPISODE.zip given=4 frames=16 out=sample

Writes OUT.png, a row of frames for each video, and OUT.mp4, the videos side by side. The prompt's frames from `start`
on are given. Then come its own actions, and its true frames are the first row; or those of a script, for example
`actions="forward*12 forward,camera=0:10*6"` (training/data/action_script.py), which also sets the number of frames.
`difference=5 steps=50` is the AD scheduler's s in units of steps, 0 for all frames together, `steps` for one after the
other; `guidance=2` follows the actions more closely; `count=4 seed=0` makes four videos.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from omegaconf import MISSING
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from envs.actions import space, spec
from envs.episodes.episode import Episode
from training.data.action_script import actions_of
from worldsim.actions import check_same
from worldsim.checkpoint import load_ar_diffusion
from worldsim.cli.command import command
from worldsim.config import ConfigError, load
from worldsim.frames import to_uint8
from worldsim.models.ar_diffusion import Sampling
from worldsim.models.autoencoders.ar_vae import ArVae, Stream
from worldsim.runtime import hardware, pick_device, use_threads
from worldsim.session.sinks.video_encoder import write

PANE = 128  # least side of a picture in what is written, in pixels


@dataclass
class Config:
    checkpoint: str = MISSING
    prompt: str = MISSING
    start: int = 0
    given: int = 4
    frames: int = 16
    actions: str = ""
    out: str = "sample"
    count: int = 1
    seed: int = 0
    difference: float = 5
    steps: int = 50
    guidance: float = 1.0
    sampler: str = "ddim"
    eta: float = 0.0
    fps: int = 10
    device: str = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        least = {"start": 0, "given": 1, "frames": 1, "count": 1, "fps": 1}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ConfigError(f"{name}: expected at least {value}, found {getattr(self, name)}")


def prompt_of(config: Config, episode: Episode) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Given frames (G, H, W, 3), actions that led to each frame (G + F, A), and the true frames where they are known.

    Raises:
        ConfigError: the prompt has fewer frames than are wanted.
    """
    script = actions_of(config.actions, episode.meta["action_spec"]["family"]) if config.actions else None
    new = config.frames if script is None else len(script)
    stop = config.start + config.given + (new if script is None else 0)
    if stop > len(episode):
        raise ConfigError(
            f"expected {stop} frames in {config.prompt}, found {len(episode)}; lower start, given or frames"
        )
    vectors = episode.action_vectors()
    # nothing led to frame 0
    actions_before = np.concatenate([np.zeros_like(vectors[:1]), vectors])[config.start : stop]
    shown = episode.frames(config.start, stop)
    if script is not None:
        return shown, np.concatenate([actions_before, script]), None
    return shown[: config.given], actions_before, shown


def decode(autoencoder: ArVae, latents: Tensor) -> np.ndarray:
    """Latents (B, T, L, D) to frames uint8 (B, T, H, W, 3), one after the other, so that any length fits."""
    stream = Stream()
    return np.stack([to_uint8(autoencoder.decode_next(z, stream)) for z in latents.unbind(1)], 1)


def grid(videos: np.ndarray) -> np.ndarray:
    """Videos (B, T, H, W, 3) as one picture, a row each, pixels enlarged to at least ``PANE`` a frame."""
    b, t, h, w, _ = videos.shape
    zoom = -(-PANE // h)
    rows = videos.transpose(0, 2, 1, 3, 4).reshape(b * h, t * w, 3)
    return rows.repeat(zoom, 0).repeat(zoom, 1)


@command
def main(args: list[str]) -> int:
    config = load(Config, args)
    use_threads(config.threads)
    device = pick_device(config.device)
    loaded = load_ar_diffusion(config.checkpoint, device)
    model, episode = loaded.model, Episode(config.prompt)
    check_same(loaded.action_spec, episode.meta["action_spec"], config.checkpoint, config.prompt)
    family = episode.meta["action_spec"]["family"]
    if config.actions:  # a script speaks the family's whole language
        check_same(loaded.action_spec, spec(space(family), family), config.checkpoint, "an action script")
    size = model.config.autoencoder.size
    if episode.meta["size"] != size:
        raise ConfigError(
            f"{config.prompt}: expected frames of {size} pixels, found {episode.meta['size']}; choose another"
        )
    shown, actions_before, truth = prompt_of(config, episode)
    actions = model.normalise(torch.from_numpy(actions_before).to(device)).expand(config.count, -1, -1)
    sampling = Sampling(config.difference, config.steps, config.guidance, config.sampler, config.eta)

    def progress(calls: Iterable[slice]) -> Iterable[slice]:
        return tqdm(calls, "sampling", unit="call")

    with torch.inference_mode():
        given = loaded.encode(shown).expand(config.count, -1, -1, -1)
        began = time.perf_counter()
        random = torch.Generator().manual_seed(config.seed)
        made = model.generate(given, actions, sampling, random, progress)
        seconds = time.perf_counter() - began
        videos = decode(model.autoencoder, torch.cat([given, made], 1))  # (B, G + F, H, W, 3)
    videos[:, : config.given] = shown
    if truth is not None:
        videos = np.concatenate([truth[None], videos])
    png, mp4 = Path(f"{config.out}.png"), Path(f"{config.out}.mp4")
    png.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grid(videos)).save(png)
    write(str(mp4), config.fps, (grid(videos[:, i : i + 1].swapaxes(0, 1)) for i in range(videos.shape[1])))
    result = {
        "frames": made.shape[1],
        "count": config.count,
        "seconds": round(seconds, 3),
        "device": str(device),
        "hardware": hardware(device),
        "files": [str(png), str(mp4)],
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
