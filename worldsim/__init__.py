"""The dream: everything needed to run a trained world model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worldsim.dream.registry import Source


def load(name: str, device: str = "auto") -> Source:
    """What dreams are made of: ``load("blocks").dream()`` is one, a gymnasium environment of true context in and one
    imagined frame, uint8 (H, W, 3), for every action (:class:`worldsim.dream.env.Dream`).

    Args:
        name: a shipped checkpoint, a folder, OWNER/NAME on the hub, or a model of others as MODULE:FACTORY.
        device: ``cpu``, ``cuda`` or ``auto``.

    Raises:
        CheckpointError, DreamError: there is no such checkpoint or model, or it cannot be read.
        DeviceError: this machine has no such device.
    """
    from worldsim.dream.registry import find
    from worldsim.runtime import pick_device

    return find(name, pick_device(device))
