"""DeepMind Lab's mazes and textures, drawn by a ray caster of our own: deterministic from seed and actions."""

from envs.adapters.engine_missing import EngineMissing

try:
    import labmaze  # noqa: F401  (the mazes and the pictures are this package's)
except ImportError as error:
    raise EngineMissing(
        f"LabMaze needs the package labmaze ({error}): pip install labmaze, which has wheels up to Python 3.12; Blocks "
        "needs nothing"
    ) from None
