"""`worldsim train PART key=value ...`: one part of a dream at a time, each of which goes on where it was killed."""

from __future__ import annotations

from worldsim_app.commands import STAGES
from worldsim_app.main import group

HELP = "Train a part of a dream. The first six, in their order, make a dream of your own world."


def main(words: list[str]) -> int:
    """Run the trainer of a part."""
    return group("worldsim train", STAGES, HELP, words)
