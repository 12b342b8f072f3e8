"""One true world and its dreams in lockstep; ``Session`` is loaded when it is asked for, ticks come without it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worldsim.session.session import Session

__all__ = ["Session"]


def __getattr__(name: str) -> object:
    if name == "Session":
        from worldsim.session.session import Session

        return Session
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
