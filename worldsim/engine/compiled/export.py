"""A network exported at the shapes of its arguments, and the name under which what was made of it is kept on disk."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from worldsim.runtime import hardware

Call = Callable[..., tuple[Tensor, ...]]
"""A network that was compiled: its arguments' tensors in, its results' tensors out, float32 all of them."""


@contextmanager
def exporting() -> Iterator[None]:
    """Outside inference mode, whose tensors no exporter takes, and without gradients."""
    with torch.inference_mode(False), torch.no_grad():
        yield


def examples(args: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The arguments as an exporter takes them: copies, in no view of anything; inside :func:`exporting`."""
    return tuple(x.detach().clone(memory_format=torch.contiguous_format) for x in args)


def export(network: nn.Module, args: Sequence[Tensor]) -> ExportedProgram:
    """The network as a graph of ATen operators at exactly these shapes; attention is still one of them."""
    with exporting():
        return torch.export.export(network, examples(args), strict=False)


def core(program: ExportedProgram) -> ExportedProgram:
    """The same graph in core ATen operators alone, which is what compilers of others' hardware take."""
    with exporting():
        return program.run_decompositions()


def outputs(found: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    """What a network returned, always as a tuple."""
    return (found,) if isinstance(found, Tensor) else tuple(found)


def fingerprint(network: nn.Module) -> str:
    """SHA-256 of a network's classes, parameters and buffers, with their names and types."""
    digest = hashlib.sha256()
    for name, module in network.named_modules():
        digest.update(f"{name}:{type(module).__module__}.{type(module).__qualname__};".encode())
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        data = tensor.detach().cpu().contiguous()
        digest.update(f"{name}:{data.dtype}:{tuple(data.shape)};".encode())
        digest.update(data.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def cache_key(network: nn.Module, args: Sequence[Tensor], versions: Sequence[str]) -> str:
    """Names what a library makes of a network: its weights, the shapes and types of arguments, the hardware, versions.

    ``versions``: of whatever else decides what comes out, the library's and the options that it is given.
    """
    device = args[0].device
    parts = [
        fingerprint(network),
        *(f"{x.dtype}{tuple(x.shape)}" for x in args),
        hardware(device),
        *_capability(device),
        _source(),
        torch.__version__,
        *versions,
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def cache_folder(engine: str) -> Path:
    """Where an engine keeps what it has compiled: in the user's cache, readable and writable by the user alone.

    What lies there is run as it is, so nobody else may write it; environment ``WORLDSIM_ENGINES`` names another place.
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("WORLDSIM_ENGINES") or Path(home) / "worldsim" / "engines") / engine
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A file that is there whole or not at all: what is written to the path inside takes the name at the end."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = Path(folder) / path.name
        yield part
        part.replace(path)


def _source() -> str:
    """A hash of the networks' own code: what was compiled of older code is not theirs any more."""
    folder = Path(__file__).parent
    models = folder.parents[1] / "models"
    ours = (folder / f"{name}.py" for name in ("networks", "steps", "lowering"))
    files = [*ours, *sorted(models.rglob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _capability(device: torch.device) -> list[str]:
    if device.type != "cuda":
        return [torch.backends.cpu.get_cpu_capability()]
    return [str(torch.cuda.get_device_capability(device)), str(torch.version.cuda)]
