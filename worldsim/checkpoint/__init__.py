"""Trained models on disk: safetensors, the configuration beside them, a card; nothing pickled, ever."""

from worldsim.checkpoint.folders import CARD, CONFIG, SHIPPED, WEIGHTS, CheckpointError, resolve
from worldsim.checkpoint.formats import FORMAT
from worldsim.checkpoint.kinds import KINDS, Description, Kind
from worldsim.checkpoint.loaded import Loaded, LoadedModel, M
from worldsim.checkpoint.reading import (
    describe,
    load,
    load_any,
    load_ar_diffusion,
    load_ar_vae,
    load_autoencoder,
    load_video,
    mismatch,
    weights,
)
from worldsim.checkpoint.writing import save, save_autoencoder

__all__ = [
    "CARD", "CONFIG", "FORMAT", "KINDS", "SHIPPED", "WEIGHTS", "CheckpointError", "Description", "Kind",
    "Loaded", "LoadedModel", "M", "describe", "load", "load_any", "load_ar_diffusion", "load_ar_vae",
    "load_autoencoder", "load_video", "mismatch", "resolve", "save", "save_autoencoder", "weights",
]  # fmt: skip
