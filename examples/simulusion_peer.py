"""A DIAMOND-like denoiser of the library simulusion (PyPI), trained on recorded LabMaze for minutes, as a dream.

    pip install --no-deps simulusion
    worldsim collect env=labmaze policy=mixed episodes=200 seed=5000 out=data/peer workers=1
    python simulusion_peer.py data/peer peer.pt 900
    worldsim bench simulusion_peer:make suite=small       # where SIMULUSION_PEER=peer.pt

The network, its preconditioning and its sampler are the library's; ours are the actions as classes and the loop. Four
frames of context, as in DIAMOND (Alonso et al. 2024), so that it can remember nothing older.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import torch
from simulusion.models.diffusion.diamond_diffusion import DiffusionUNet, EDMPreconditioner, EulerSampler
from torch import Tensor
from torch.nn import functional as F

import worldsim_app
from envs import actions
from envs.episodes.episode import Episode

CONTEXT = 4
FOLD = 2
"""Pixels of a side that become channels of one, so that a step costs a quarter."""
TURNS = (-200, -20, 21, 201)
"""Bounds of the classes of a look, in DeepMind Lab's pixels: far left, left, none, right, far right."""
CLASSES = (len(TURNS) + 1) * 3 * 3
SHAPE: dict[str, Any] = {
    "obs_channels": 3 * FOLD**2,
    "num_conditioning_frames": CONTEXT,
    "base_channels": 32,
    "channel_multipliers": (1, 1, 2),
    "num_res_blocks": 1,
    "cond_dim": 128,
    "action_dim": CLASSES,
}
SIGMA_MAX, STEPS = 5.0, 3  # DIAMOND's


def classes(actions: np.ndarray) -> np.ndarray:
    """Actions (n, 7) of DeepMind Lab as classes (n,): look left or right, strafe, move; the rest is left out."""
    look = np.digitize(actions[:, 0], TURNS)
    return (look * 3 + np.sign(actions[:, 2]).astype(int) + 1) * 3 + np.sign(actions[:, 3]).astype(int) + 1


def to_model(frames: np.ndarray) -> Tensor:
    """Frames uint8 (n, H, W, 3) to (n, 12, H / 2, W / 2) in [-1, 1]."""
    return F.pixel_unshuffle(torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1, FOLD)


class Peer:
    """``begin`` and ``step`` are all that a bench, or a session, asks for."""

    histories = (CONTEXT,)
    action_spec = actions.spec(actions.space("dmlab"), "dmlab")  # it is refused in other worlds

    def __init__(self, network: DiffusionUNet) -> None:
        self.network = network.eval()
        self.sampler = EulerSampler(sigma_max=SIGMA_MAX, num_steps=STEPS, edm_precond=EDMPreconditioner())

    def begin(self, frames: np.ndarray, actions: np.ndarray, seed: int = 0) -> None:
        frames = np.concatenate([np.repeat(frames[:1], CONTEXT, 0), frames])[-CONTEXT:]
        past = [classes(np.zeros((1, 7)))[0]] * CONTEXT + list(classes(actions))
        self.frames, self.actions = deque(to_model(frames), CONTEXT), deque(past[-CONTEXT:], CONTEXT)
        self.seed, self.count = seed, 0

    @torch.inference_mode()
    def step(self, action: np.ndarray) -> np.ndarray:
        self.actions.append(classes(action[None])[0])
        with torch.random.fork_rng(devices=[]):  # the sampler draws from torch's own numbers
            torch.manual_seed(self.seed * 1_000_003 + self.count)
            frame = self.sampler.sample(
                self.network,
                (1, *self.frames[0].shape),
                torch.device("cpu"),
                torch.stack(list(self.frames))[None],
                torch.tensor([list(self.actions)]),
            )[0]
        self.count += 1
        shown = ((frame + 1) * 127.5).round().clamp(0, 255)
        self.frames.append(shown / 127.5 - 1)
        return F.pixel_shuffle(shown, FOLD).permute(1, 2, 0).byte().numpy()


def make() -> Peer:
    """The peer that SIMULUSION_PEER names, ``peer.pt`` in the working folder unless it is set."""
    network = DiffusionUNet(**SHAPE)
    weights = torch.load(os.environ.get("SIMULUSION_PEER", "peer.pt"), weights_only=True)
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    return Peer(network)


def train(
    frames: list[np.ndarray], actions: list[np.ndarray], seconds: float, batch: int = 8, seed: int = 0
) -> DiffusionUNet:
    """EDM's loss on windows of ``CONTEXT`` frames and the one after them.

    Args:
        frames: of each episode uint8 (T + 1, H, W, 3); actions: (T, 7).
    """
    torch.manual_seed(seed)
    rng, network, edm = np.random.default_rng(seed), DiffusionUNet(**SHAPE), EDMPreconditioner()
    average = {name: value.clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-4, weight_decay=1e-2)
    pressed = [classes(a) for a in actions]
    ends, count = time.monotonic() + seconds, 0
    while time.monotonic() < ends or not count:
        which = rng.integers(len(frames), size=batch)
        at = [int(rng.integers(len(frames[i]) - CONTEXT)) for i in which]
        clip = torch.stack([to_model(frames[i][s : s + CONTEXT + 1]) for i, s in zip(which, at, strict=True)])
        # The action beside a frame is the one that is taken in it.
        act = torch.tensor(np.stack([pressed[i][s : s + CONTEXT] for i, s in zip(which, at, strict=True)]))
        sigma = edm.sample_noise_level(batch, clip.device)
        noised = clip[:, -1] + torch.randn_like(clip[:, -1]) * sigma[:, None, None, None]
        found = edm.denoise(network, noised, sigma, obs_history=clip[:, :-1], actions=act)
        weight = (sigma**2 + edm.sigma_data**2) / (sigma * edm.sigma_data) ** 2
        loss = ((found - clip[:, -1]).square().mean((1, 2, 3)) * weight).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        count += 1
        keep = min(0.995, 1 - 1 / (count / 10 + 1))
        for name, value in network.state_dict().items():
            average[name].lerp_(value, 1 - keep)
        if count % 100 == 0:
            print(f"step {count}: loss {loss.item():.4f}", flush=True)
    network.load_state_dict(average)
    print(f"{count} steps of {batch}", flush=True)
    return network


def main(data: str, out: str, seconds: str) -> None:
    episodes = [Episode(path) for path in sorted(Path(data).glob("*.zip"))]
    network = train([e.frames() for e in episodes], [e.action_vectors() for e in episodes], float(seconds))
    torch.save({name: value.half() for name, value in network.state_dict().items()}, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
