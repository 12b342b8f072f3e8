"""`worldsim train WORLD hours=H` trains a whole dream, `worldsim train PART key=value ...` one part of it.

Both go on where they were killed. What is no part is a world, or a folder of recordings.
"""

from __future__ import annotations

from worldsim_app.commands import STAGES, WHOLE
from worldsim_app.main import documentation, group

HELP = "Or one part, in a run of its own (worldsim train PART --help)."


def main(words: list[str]) -> int:
    """Run the trainer of a part, or of a whole dream."""
    if words and words[0] not in STAGES and not words[0].startswith("-"):
        return WHOLE.load()(words) or 0
    if words[:1] in (["-h"], ["--help"]):
        print(documentation(WHOLE.module, "worldsim train"), end="\n\n")
    return group("worldsim train", STAGES, HELP, words)
