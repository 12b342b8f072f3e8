"""``engine=onnx``: networks as ONNX files, run by ONNX Runtime on a CPU or on CUDA (extra ``onnx``)."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from worldsim.engine.compiled.export import Call, cache_folder, cache_key, export, exporting, written

OPSET = 20
"""Of ONNX operators: the first whose GridSample is what torch's ``grid_sample`` is."""
TYPES = {
    torch.float32: np.float32,
    torch.float16: np.float16,
    torch.bool: np.bool_,
    torch.int64: np.int64,
}


class OnnxRuntime:
    """A :class:`.calls.Compiler`. ``threads``: of a CPU's; 0 takes torch's."""

    name = "onnx"

    def __init__(self, threads: int = 0) -> None:
        self.threads = threads or torch.get_num_threads()

    def compile(self, network: nn.Module, args: Sequence[Tensor]) -> Call:
        """See :class:`.calls.Compiler`."""
        import onnxruntime

        versions = [f"opset {OPSET}", f"onnxruntime {onnxruntime.__version__}"]
        path = cache_folder(self.name) / f"{cache_key(network, args, versions)}.onnx"
        if not path.exists():
            with written(path) as part:
                _convert(network, args, str(part))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # A dream waits for each network before it asks for the next: threads that spin meanwhile take its own time.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        device = args[0].device
        if device.type == "cuda":
            places: list[Any] = [("CUDAExecutionProvider", {"device_id": device.index or 0})]
            session = onnxruntime.InferenceSession(path, options, [*places, "CPUExecutionProvider"])
            return _on_device(session, device)
        return _on_cpu(onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"]))


def _convert(network: nn.Module, args: Sequence[Tensor], path: str) -> None:
    program = export(network, args)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with exporting(), contextlib.redirect_stdout(io.StringIO()):
        made = torch.onnx.export(program, dynamo=True, opset_version=OPSET, optimize=True, verbose=False)
    assert made is not None
    made.save(path, external_data=False)


def _on_cpu(session: Any) -> Call:
    names = [x.name for x in session.get_inputs()]
    places = {x.name: i for i, x in enumerate(session.get_inputs())}
    assert len(places) == len(names)

    def call(*tensors: Tensor) -> tuple[Tensor, ...]:
        given = {name: x.contiguous().numpy() for name, x in zip(names, tensors, strict=True)}
        return tuple(torch.from_numpy(y) for y in session.run(None, given))

    return call


def _on_device(session: Any, device: torch.device) -> Call:
    names = [x.name for x in session.get_inputs()]
    shapes = [(x.name, [int(n) for n in x.shape]) for x in session.get_outputs()]

    def call(*tensors: Tensor) -> tuple[Tensor, ...]:
        binding, kept = session.io_binding(), [x.contiguous() for x in tensors]
        for name, x in zip(names, kept, strict=True):
            kind = TYPES[x.dtype]
            binding.bind_input(name, "cuda", device.index or 0, kind, list(x.shape), x.data_ptr())
        found = []
        for name, shape in shapes:
            y = torch.empty(shape, device=device)
            binding.bind_output(name, "cuda", device.index or 0, np.float32, shape, y.data_ptr())
            found.append(y)
        torch.cuda.current_stream(device).synchronize()  # ONNX Runtime has a stream of its own
        session.run_with_iobinding(binding)
        return tuple(found)

    return call
