"""Checkpoints that others published: fetched by id through huggingface_hub, where that is installed."""

from __future__ import annotations

import re
from pathlib import Path

FETCHED = ("model.safetensors", "config.yaml", "card.md", "README.md")
"""All that is asked for: whatever else lies in a repository, pickled weights among it, is never fetched."""
_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")


class HubError(ValueError):
    """A published checkpoint that cannot be fetched here."""


def is_id(name: str) -> bool:
    """Whether a name is OWNER/NAME or OWNER/NAME@REVISION, and no path below a folder that is here."""
    return _ID.fullmatch(name) is not None and not Path(name.split("/")[0]).exists()


def fetch(name: str) -> Path:
    """The folder of a published checkpoint, from the library's own cache where it was fetched before.

    Raises:
        HubError: the library is not installed, there is no such checkpoint, or no network; one sentence.
    """
    try:
        import huggingface_hub
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError as error:
        raise HubError(
            f"{name} is no folder here, and the hub takes huggingface_hub, which is not here ({error}): "
            "pip install huggingface_hub, or give the path of a folder"
        ) from None
    repository, _, revision = name.partition("@")
    try:
        return Path(
            huggingface_hub.snapshot_download(
                repository, revision=revision or None, allow_patterns=list(FETCHED)
            )
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise HubError(f"{name} is no folder here and could not be fetched from the hub: {reason}") from None
