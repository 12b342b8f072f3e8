"""Memory variants by name: the ways into the denoiser, the compressors, and which of them go together."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from typing import Any, cast

from worldsim.models.memory import variants as package
from worldsim.models.memory.variants.protocol import (
    COMPRESSORS,
    WAYS,
    Compressor,
    MemoryVariantConfig,
    MemoryVariantError,
    Way,
)


def variants() -> list[tuple[str, str]]:
    """Every (way, compressor) that goes together.

    The paper compresses jointly what is prepended, because the compressed actions must say what space the frames
    were brought to; it modulates what is concatenated along channels, because there only frames are needed
    (section 6.1); version 1 gives cross attention the past uncompressed.
    """
    _discover()
    return [(name, by) for name in sorted(WAYS) for by in _allowed(name)]


def way_from(config: MemoryVariantConfig, channels: int, action_dim: int, grid: tuple[int, int]) -> Way:
    """Build the way that ``config`` names, for latents (channels, *grid) and actions of length action_dim.

    Raises:
        MemoryVariantError: an unknown name, a compressor that does not go with it, or a patch that does not
            divide the grid.
    """
    _check(config, grid)
    return cast(Way, WAYS[config.way](config, channels, action_dim, grid))


def compressor_from(
    config: MemoryVariantConfig, channels: int, action_dim: int, grid: tuple[int, int]
) -> Compressor:
    """Build the compressor that ``config`` names; arguments and errors as in :func:`way_from`."""
    _check(config, grid)
    return cast(Compressor, COMPRESSORS[config.compressor](config, channels, action_dim, grid))


def _check(config: MemoryVariantConfig, grid: tuple[int, int]) -> None:
    _discover()
    _known("way of memory", config.way, WAYS)
    _known("compressor", config.compressor, COMPRESSORS)
    allowed = _allowed(config.way)
    if config.compressor not in allowed:
        raise MemoryVariantError(
            f"{config.way!r} with {config.compressor!r} compression is not defined (Meta-ARVDM section 6.1); "
            f"with {config.way!r} choose {' or '.join(allowed)}"
        )
    if grid[0] % config.patch or grid[1] % config.patch:
        raise MemoryVariantError(
            f"expected a memory patch that divides latents of {grid[0]} x {grid[1]}, found {config.patch}; "
            "set patch to 1"
        )


def _allowed(way: str) -> list[str]:
    """The compressors that go with a way: those that it names, then those that name it."""
    named: list[str] = list(WAYS[way].compressors)
    return named + [by for by, cls in COMPRESSORS.items() if way in cls.ways and by not in named]


def _known(what: str, name: str, table: dict[str, Any]) -> None:
    if name not in table:
        near = difflib.get_close_matches(name, table, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected {', '.join(sorted(table))}"
        raise MemoryVariantError(f"no {what} named {name!r}; {hint}")


def _discover() -> None:
    """Import the files of this package, so that the classes in them are known."""
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
