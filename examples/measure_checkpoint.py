"""Measure a checkpoint from Python: what it remembers, on episodes that are played for it.

python examples/measure_checkpoint.py labmaze
"""

import sys
import tempfile
from pathlib import Path

import worldsim
import worldsim_app.worlds  # the true worlds; in a wheel it makes `training` importable too


def measure(checkpoint: str, episodes: int = 4, steps: int = 300, seed: int = 5_000_000) -> dict:
    """SSIM of returning views by how many frames ago they were last seen, memory and forgetful twin."""
    from training.collect import ENVS, CollectConfig, collect
    from training.data.episodes import open_episodes
    from training.evaluation.config import Config
    from training.evaluation.needle import measure_needle

    source = worldsim.load(checkpoint)
    description = source.loaded.description
    world = next(name for name, ids in ENVS.items() if ids == (description.family, description.backend))
    with tempfile.TemporaryDirectory() as folder:
        words = {"policy": "needle", "episodes": episodes, "steps": steps, "seed": seed, "workers": 1}
        collect(CollectConfig(env=world, out=folder, size=source.size, **words))
        return measure_needle(source, open_episodes(Path(folder)), Config(checkpoint=checkpoint))["needle"]


if __name__ == "__main__":
    for age, scores in measure(sys.argv[1] if len(sys.argv) > 1 else "labmaze").items():
        memory, twin = scores["memory"], scores["forgetful"]
        print(f"last seen {age} frames ago: memory {memory['mean']}, twin {twin['mean']} (n {memory['n']})")
