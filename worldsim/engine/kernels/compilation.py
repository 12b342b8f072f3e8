"""How the loops of the engine are compiled; here, since who imports a file of loops compiles all of them."""

from __future__ import annotations

from typing import Any

from numba import njit


def compiled(signature: Any = None) -> Any:
    """What compiles a loop of this kind, for types that are named or when it is first called."""
    return njit(signature, cache=True, nogil=True, fastmath=True, error_model="numpy")
