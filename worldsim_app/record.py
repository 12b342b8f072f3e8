"""Play, with everything recorded: worldsim record --env WORLD ... [--record DIR]

All words of `worldsim play`. Episodes go into DIR, `recordings` unless another is given, as zips of pictures, actions
and poses: `worldsim replay EPISODE.zip` plays one again, `data=DIR` trains on them. DIR may be an address in a store,
s3://BUCKET/FOLDER: what was recorded is brought there, an object an episode, when play ends.
"""

from __future__ import annotations

from worldsim.cli.command import command, say
from worldsim.config import addresses
from worldsim_app import play

FOLDER = "recordings"


@command
def main(words: list[str]) -> int:
    """Play with ``--record``.

    Raises:
        StoreError: it cannot be brought to the store; it stays here until the next recording for it ends.
    """
    words = [part for word in words for part in _parts(word)]
    if "--record" not in words:
        return play.main(["--record", FOLDER, *words])
    at = words.index("--record") + 1
    if at == len(words) or not addresses.is_address(words[at]):
        return play.main(words)
    address = words[at]
    spool = addresses.spool(address)
    code = play.main([*words[:at], str(spool), *words[at + 1 :]])
    for path in sorted(spool.glob("*.zip")):
        addresses.upload(path, addresses.join(address, path.name))
        path.unlink()
        say(f"recorded: {addresses.join(address, path.name)}")
    return code


def _parts(word: str) -> list[str]:
    """``--record=DIR`` as two words."""
    return ["--record", word.removeprefix("--record=")] if word.startswith("--record=") else [word]
