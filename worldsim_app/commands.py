"""The table of commands: a name, the function behind it, which is imported when it is used, and a line of help.

A function takes the words after its name, prints its own ``--help``, and returns an exit code (None is 0).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """``target`` is MODULE:FUNCTION; ``line`` says in one line what it does."""

    target: str
    line: str

    @property
    def module(self) -> str:
        """Where its function is, and in that module's docstring its help."""
        return self.target.partition(":")[0]

    def load(self) -> Callable[[list[str]], int | None]:
        """The function.

        Raises:
            ImportError: the module, or what it needs, is not installed.
        """
        found: Callable[[list[str]], int | None] = getattr(
            importlib.import_module(self.module), self.target.partition(":")[2]
        )
        return found


COMMANDS = {
    "play": Command("worldsim_app.play:main", "a true world and its dream, side by side"),
    "record": Command("worldsim_app.record:main", "play, with everything recorded"),
    "replay": Command("worldsim_app.replay:main", "a recorded episode again, bit for bit"),
    "collect": Command("training.collect:main", "episodes that a policy plays, to train on"),
    "train": Command("worldsim_app.train:main", "a dream of a world from nothing, or one part of it"),
    "evaluate": Command("training.evaluate:main", "measure a checkpoint on held-out episodes"),
    "report": Command("training.report.__main__:main", "tables and pictures of results"),
    "convert": Command("training.convert.__main__:main", "recordings of others into ours, and back"),
    "index": Command("training.convert.index:main", "an index of episodes, and shards, here or in a store"),
    "serve": Command("worldsim_app.serve:main", "play in a browser"),
    "dream-server": Command("worldsim_app.dream_server:main", "a dream for worlds on other machines"),
    "doctor": Command("worldsim_app.doctor:main", "what this machine can do, in ten lines"),
    "bench": Command("training.bench.__main__:main", "measure the memory of any model, compare, gate"),
}

STAGES = {
    "autoencoder": Command("training.train.autoencoder:main", "frames to latents and back"),
    "denoiser": Command("training.train.denoiser:main", "memory, denoiser and odometry over an autoencoder"),
    "odometry": Command("training.train.odometry:main", "dead reckoning alone"),
    "pixels": Command("training.train.pixels:main", "the memory of pixels: distances and mixing"),
    "walks": Command("training.collect_walks:main", "play and encode what a generator is trained on"),
    "generator": Command("training.train.generator:main", "the generator, on walks"),
    "decoder": Command("training.train.decoder:main", "a sharper decoder, on walks"),
    "reader": Command("training.train.reader:main", "the reading of memory alone"),
    "video": Command("training.train.video:main", "a video model that methods play"),
    "ar-vae": Command("training.train.ar_vae:main", "the tokenizer of AR-Diffusion"),
    "ar-diffusion": Command("training.train.ar_diffusion:main", "AR-Diffusion over its tokenizer"),
}
"""The parts that ``worldsim train PART`` trains, in the order in which the first six make a dream."""

WHOLE = Command("training.pipeline.__main__:main", "all parts, one after the other")
"""What ``worldsim train WORLD`` runs."""
