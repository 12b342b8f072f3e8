"""Play a recorded episode again: worldsim replay EPISODE.zip [--headless] ...

Which world and which engine it was recorded in the file says; every other word is one of `worldsim play`, so
`--compare`, `--report FILE.json`, `--video FILE.mp4` or another `--checkpoint`. At the end it says how many frames came
out as they were recorded.
"""

from __future__ import annotations

from pathlib import Path

from worldsim.cli.command import command
from worldsim.cli.options import BACKENDS, OptionError
from worldsim_app import play


@command
def main(words: list[str]) -> int:
    """Play with ``--replay``, in the world that the episode names."""
    if not words or words[0].startswith("-"):
        raise OptionError(
            "expected an episode first: worldsim replay EPISODE.zip; see worldsim replay --help"
        )
    from envs.episodes.episode import Episode

    with Episode(Path(words[0])) as episode:
        flags = {"--env": episode.meta.get("family"), "--backend": episode.meta.get("backend")}
    if flags["--backend"] not in {backend for some in BACKENDS.values() for backend in some}:
        del flags["--backend"]  # data of others, whose pictures are the truth
    given = {word.partition("=")[0] for word in words}
    known = [
        part for flag, value in flags.items() if value and flag not in given for part in (flag, str(value))
    ]
    return play.main([*known, "--replay", *words])
