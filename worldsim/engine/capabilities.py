"""What of the libraries that engines need is here, and in a sentence what is not."""

from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Capabilities:
    """``cuda``: a GPU that torch sees; the others: whether a library, or a compiler of C++, is there.

    ``onnx_cuda``: whether ONNX Runtime has a provider for such a GPU.
    """

    cuda: bool = False
    tensorrt: bool = False
    triton: bool = False
    cxx: bool = False
    onnx: bool = False
    onnx_cuda: bool = False

    def lacking(self, engine: str, device: str) -> str:
        """What an engine needs on a device (``cpu``, ``cuda``) and is not here: the end of a sentence, or nothing."""
        gpu = "a model on an NVIDIA GPU that torch sees (--device cuda)"
        if engine == "tensorrt":
            if not self.tensorrt:
                return f'needs torch-tensorrt (pip install "worldsim[tensorrt]") and {gpu}'
            return "" if self.cuda and device == "cuda" else f"needs {gpu}"
        if engine == "cudagraphs":
            return "" if self.cuda and device == "cuda" else f"needs {gpu}"
        if engine == "onnx":
            if not self.onnx:
                return 'needs ONNX Runtime and its exporter (pip install "worldsim[onnx]")'
            if device == "cuda" and not self.onnx_cuda:
                return "needs an ONNX Runtime with a CUDA provider for a model on a GPU (pip install onnxruntime-gpu)"
        if engine == "compile":
            if device == "cuda" and not self.triton:
                return "needs Triton, which compiles kernels for a GPU (pip install triton)"
            if device == "cpu" and not self.cxx:
                return "needs a C++ compiler (apt-get install g++, or CXX=...)"
        return ""


def probe() -> Capabilities:
    """Of this machine; nothing heavy is imported."""

    def there(*modules: str) -> bool:
        return all(importlib.util.find_spec(module) is not None for module in modules)

    onnx = there("onnxruntime", "onnxscript")
    return Capabilities(
        cuda=torch.cuda.is_available(),
        tensorrt=there("torch_tensorrt", "tensorrt"),
        triton=there("triton"),
        cxx=shutil.which(os.environ.get("CXX") or "g++") is not None,
        onnx=onnx,
        onnx_cuda=onnx and torch.cuda.is_available() and _onnx_cuda(),
    )


def _onnx_cuda() -> bool:
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()
