"""Play, with everything recorded: worldsim record --env WORLD ... [--record DIR]

All words of `worldsim play`. Episodes go into DIR, `recordings` unless another is given, as zips of pictures, actions
and poses: `worldsim replay EPISODE.zip` plays one again, `data=DIR` trains on them.
"""

from __future__ import annotations

from worldsim.cli.command import command
from worldsim_app import play

FOLDER = "recordings"


@command
def main(words: list[str]) -> int:
    """Play with ``--record``."""
    recording = any(word == "--record" or word.startswith("--record=") for word in words)
    return play.main(words if recording else ["--record", FOLDER, *words])
