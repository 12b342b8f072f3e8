"""Dreams as gymnasium environments, one file a kind of model; ``DreamEnv`` is loaded when it is asked for."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worldsim.dream.world import DreamEnv

__all__ = ["DreamEnv"]


def __getattr__(name: str) -> object:
    if name == "DreamEnv":
        from worldsim.dream.world import DreamEnv

        return DreamEnv
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
