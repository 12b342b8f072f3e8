"""Paths walked back: python -m training.imagination.mirror checkpoint=NAME_OR_PATH seeds=20 steps=[8,16,32,64]

After ``context=16`` true frames a dream is roamed for so many steps into what nobody has seen, and then back along the
same poses (`envs.policies.retrace`), as its own dead reckoning tells them. What it made up on the way out should be
there on the way back, whatever it is: this asks for no truth (MIND's generated-scene consistency). Each frame of the
way out is compared with the one of the way back whose pose is nearest to its own, SSIM and LPIPS (AlexNet), for the
dream, for its forgetful twin, and for a true world, which says what can be reached with poses that are a little apart
(``gap``, units and degrees). ``chance`` compares it with the one that belongs half a path farther: a dream that has
faded is alike everywhere, so that only what is better than chance is remembered.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from envs.policies.retrace import PATIENCE, Retrace
from training.imagination import features
from training.imagination.config import MirrorConfig
from training.imagination.play import (
    Frames,
    Stage,
    begin_in_dream,
    begin_in_world,
    dream_of,
    player_in_dream,
    player_in_world,
    world_of,
)
from worldsim import checkpoint
from worldsim.cli.command import command
from worldsim.config import load
from worldsim.config.addresses import write_text
from worldsim.metrics.bootstrap import interval
from worldsim.metrics.ssim import ssim
from worldsim.runtime import hardware, pick_device


@dataclass
class Mirrored:
    """Pairs of one path: frames of the way out and back (n, H, W, 3), and the gaps of their poses (n, 2)."""

    out: Frames
    back: Frames
    gaps: NDArray[np.float64]


def there_and_back(stage: Stage, player: Any, family: str, steps: int, scale: float) -> Mirrored:
    """Walk ``steps`` out and back again, and pair the frames: those of the way out but for the last, by their poses.

    The frame that it began with is none of them: a dream did not make it up. ``scale`` is how many units count as much
    as a radian.
    """
    start = np.asarray(stage.info["pose"], np.float64)
    out = stage.walk(player, steps)
    back = stage.walk(Retrace(family, [start, *out.poses]), 2 * PATIENCE * steps)
    ways, returns = out.poses[:-1], back.poses
    moved = np.linalg.norm(ways[:, None, :3] - returns[None, :, :3], axis=2)
    turned = np.abs((ways[:, None, 3] - returns[None, :, 3] + 180) % 360 - 180)
    turned = turned + np.abs(ways[:, None, 4] - returns[None, :, 4])
    nearest = (moved / scale + np.deg2rad(turned)).argmin(1)
    each = np.arange(len(ways))
    gaps = np.stack([moved[each, nearest], turned[each, nearest]], 1)
    return Mirrored(out.frames[:-1], back.frames[nearest], gaps)


def compared(paths: list[Mirrored], eyes: features.Networks) -> dict[str, Any]:
    """Likeness of all pairs, with 95% bootstrap intervals over paths, and the median gaps of their poses."""
    alike: dict[str, list[list[float]]] = {"ssim": [], "lpips": [], "chance_ssim": [], "chance_lpips": []}
    for path in paths:
        elsewhere = np.roll(path.back, len(path.back) // 2, axis=0)
        for prefix, other in (("", path.back), ("chance_", elsewhere)):
            alike[f"{prefix}ssim"].append([ssim(a, b) for a, b in zip(path.out, other, strict=True)])
            alike[f"{prefix}lpips"].append([float(v) for v in eyes.lpips(path.out, other)])
    gaps = np.median(np.concatenate([path.gaps for path in paths]), 0)
    found: dict[str, Any] = {name: interval(groups) for name, groups in alike.items()}
    return found | {"gap": {"units": round(float(gaps[0]), 4), "degrees": round(float(gaps[1]), 4)}}


@command
def main(args: list[str]) -> int:
    config = load(MirrorConfig, args)
    if config.threads:
        torch.set_num_threads(config.threads)
    device = pick_device(config.device)
    loaded = checkpoint.load(config.checkpoint, device)
    env, eyes = world_of(loaded), features.networks()
    family, scale = loaded.description.family, float(loaded.model.scale)
    actors = {"dream": dream_of(loaded, config), "twin": dream_of(loaded, config, memory=False)}
    result: dict[str, Any] = {
        "settings": {k: v for k, v in vars(config).items() if k != "out"},
        "networks": getattr(eyes, "origin", {}),
        "hardware": hardware(device),
        "mirror": {},
    }
    for steps in config.steps:
        paths: dict[str, list[Mirrored]] = {}
        for seed in tqdm(
            range(config.first_seed, config.first_seed + config.seeds), f"{steps} steps", unit="path"
        ):
            stage, context = begin_in_world(env, config, seed)
            for name, dream in actors.items():
                player = player_in_dream(dream, config, seed + 1)
                began = begin_in_dream(dream, context, seed)
                paths.setdefault(name, []).append(there_and_back(began, player, family, steps, scale))
            player = player_in_world(env, config, seed + 1)
            paths.setdefault("true", []).append(there_and_back(stage, player, family, steps, scale))
        rows = {name: compared(row, eyes) for name, row in paths.items()}
        result["mirror"][str(steps)] = rows
        for name, row in rows.items():
            cells = "  ".join(
                f"{k} {row[k]['mean']:.3f} [{row[k]['low']:.3f}, {row[k]['high']:.3f}]"
                for k in ("ssim", "chance_ssim", "lpips", "chance_lpips")
            )
            gap = row["gap"]
            print(
                f"{steps:3d} {name:6s} {cells}  gap {gap['units']:.3f}, {gap['degrees']:.1f}°  n={row['ssim']['n']}"
            )
    env.close()
    if config.out:
        write_text(config.out, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
