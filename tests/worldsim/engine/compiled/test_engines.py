"""Engines of libraries: those that run on a CPU are run, the others are followed up to where a GPU is asked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests.helpers.small_model import SIZE
from tests.helpers.small_networks import arguments, small_denoisers, small_generator
from tests.worldsim.engine.compiled.test_backend import compare, saved
from worldsim.config.hardware import ENGINES
from worldsim.engine.backend import EngineError
from worldsim.engine.capabilities import Capabilities, probe
from worldsim.engine.compiled import tensorrt
from worldsim.engine.compiled.backend import Compiled
from worldsim.engine.compiled.calls import TOLERANCE
from worldsim.engine.compiled.export import cache_folder, cache_key, fingerprint, outputs
from worldsim.engine.compiled.inductor import Inductor
from worldsim.engine.compiled.networks import networks
from worldsim.engine.compiled.onnx_runtime import OnnxRuntime
from worldsim.engine.select import BACKENDS, chosen, engine_for
from worldsim.models.world_model import WorldModel
from worldsim.runtime import DeviceError

GPU = Capabilities(cuda=True, triton=True, cxx=True, onnx=True, onnx_cuda=True)
needs_onnx = pytest.mark.skipif(not probe().onnx, reason="ONNX Runtime is not installed")
needs_cxx = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORLDSIM_ENGINES", str(tmp_path / "engines"))
    return tmp_path / "engines"


@needs_onnx
def test_a_dream_by_onnx_runtime_is_the_plain_dream(tmp_path: Path, cache: Path) -> None:
    """Frames within two levels of 255 and latents within 2e-3, beside its twin, after a correction."""
    compare(saved(small_generator(), tmp_path / "model"), OnnxRuntime(), frames=6)
    assert len(list((cache / "onnx").glob("*.onnx"))) > 6


@needs_onnx
@pytest.mark.parametrize("name", ["read", "denoiser_enter"])
def test_networks_of_denoisers_run_by_onnx_runtime_too(name: str) -> None:
    model = small_denoisers()
    network, args = networks(model)[name], arguments(model, name)
    with torch.inference_mode():
        call, expected = OnnxRuntime().compile(network, args), outputs(network(*args))
        for a, b in zip(call(*args), expected, strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@needs_onnx
def test_linear_cells_are_drawn_by_onnx_runtime_too() -> None:
    model = small_generator(linear=True)
    network, args = networks(model)["decode"], arguments(model, "decode")
    with torch.inference_mode():
        call, expected = OnnxRuntime().compile(network, args), outputs(network(*args))
        for a, b in zip(call(*args), expected, strict=True):
            torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-4)


@needs_cxx
def test_inductor_compiles_a_network_once_and_loads_it_the_next_time(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_generator()
    args = arguments(model, "look")
    with torch.inference_mode():
        backend = Compiled(model, Inductor(), strict=True)
        torch.testing.assert_close(backend.look(*args), model.odometry.look(*args), atol=1e-5, rtol=1e-4)
        assert len(list((cache / "compile").glob("*.pt2"))) == 1
        monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", _never)
        again = Compiled(model, Inductor(), strict=True)
        assert torch.equal(again.look(*args), backend.look(*args))


def _never(*args: object, **words: object) -> None:
    raise AssertionError("what is kept was compiled again")


def test_a_key_holds_weights_shapes_precision_and_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    model, other = small_generator(), small_generator(seed=1)
    args = arguments(model, "decode", 1)
    network = networks(model)["decode"]

    def key(model: WorldModel = model, args: tuple[torch.Tensor, ...] = args, version: str = "1") -> str:
        return cache_key(networks(model)["decode"], args, [version])

    assert key() == key(small_generator()) == cache_key(network, args, ["1"])
    short = cache_key(networks(model, products=torch.bfloat16)["decode"], args, ["1"])
    different = {key(), key(other), key(args=arguments(model, "decode", 2)), key(version="2"), short}
    monkeypatch.setattr("worldsim.engine.compiled.export.hardware", lambda device: "another card")
    assert len({*different, key()}) == 6
    with torch.no_grad():
        before = fingerprint(network)
        next(model.autoencoder.decoder.parameters()).add_(1e-7)
    assert fingerprint(network) != before


def test_an_engine_of_tensorrt_has_a_place_of_its_weights_card_and_options(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_generator()
    network, args = networks(model)["decode"], arguments(model, "decode", 1)
    path = tensorrt.engine_path(network, args, "2.13.0")
    assert path.parent == cache / "tensorrt" and path == tensorrt.engine_path(network, args, "2.13.0")
    assert path != tensorrt.engine_path(network, args, "2.13.1")
    monkeypatch.setattr(tensorrt, "WORKSPACE", 1)
    assert path != tensorrt.engine_path(network, args, "2.13.0")


def test_what_is_kept_is_the_users_alone(cache: Path) -> None:
    assert cache_folder("compile").stat().st_mode & 0o077 == 0


class _OnGpu:
    """A parameter as a model on a GPU has it, as far as a choice looks at it."""

    device, dtype = torch.device("cuda"), torch.float32


def _moved(model: WorldModel, monkeypatch: pytest.MonkeyPatch) -> WorldModel:
    monkeypatch.setattr(model, "parameters", lambda: iter([_OnGpu()]))
    return model


@pytest.mark.parametrize(
    ("machine", "taken"),
    [
        (Capabilities(cuda=True, tensorrt=True), "tensorrt"),
        (GPU, "cudagraphs"),
        (Capabilities(), "eager"),
    ],
)
def test_auto_takes_the_fastest_that_is_there(
    machine: Capabilities, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worldsim.engine.select.probe", lambda: machine)
    assert chosen(_moved(small_generator(), monkeypatch)) == taken


def test_on_a_cpu_auto_takes_the_engine_that_is_written_for_it_whatever_else_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "worldsim.engine.select.probe", lambda: Capabilities(True, True, True, True, True, True)
    )
    assert chosen(small_generator()) == "cpu"


@pytest.mark.parametrize(
    ("engine", "sentence"),
    [
        ("tensorrt", r'tensorrt engine needs torch-tensorrt \(pip install "worldsim\[tensorrt\]"\)'),
        ("cudagraphs", "cudagraphs engine needs a model on an NVIDIA GPU"),
        ("onnx", r'onnx engine needs ONNX Runtime and its exporter \(pip install "worldsim\[onnx\]"\)'),
        ("compile", r"compile engine needs a C\+\+ compiler"),
        ("warp", "expected one of auto, tensorrt, cudagraphs, cpu, onnx, compile, eager"),
    ],
)
def test_an_engine_that_is_not_there_is_one_helpful_sentence(
    engine: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worldsim.engine.select.probe", Capabilities)
    with pytest.raises(EngineError, match=sentence) as refused:
        engine_for(saved(small_generator(), tmp_path), engine)
    assert "\n" not in str(refused.value)


def test_a_precision_that_an_engine_does_not_multiply_in_is_refused(tmp_path: Path) -> None:
    loaded = saved(small_generator(), tmp_path)
    with pytest.raises(EngineError, match="cpu engine multiplies in fp32 or bf16, found precision=fp16"):
        engine_for(loaded, "cpu", "fp16")
    with pytest.raises(DeviceError, match="fp16, found 'fp8'"):
        engine_for(loaded, "cpu", "fp8")


def test_the_engines_that_a_command_line_knows_are_those_there_are() -> None:
    assert tuple(BACKENDS) == ENGINES


def test_every_engine_that_compiles_has_a_tolerance_for_what_it_multiplies_in() -> None:
    assert set(TOLERANCE) == {torch.float32, torch.bfloat16, torch.float16}
    assert SIZE % 8 == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("engine", ["cudagraphs", "tensorrt"])
def test_a_network_on_a_gpu_is_the_module(engine: str) -> None:
    """Runs only where there is a GPU (training/gpu_check.sh)."""
    if engine == "tensorrt" and not probe().tensorrt:
        pytest.skip("torch-tensorrt is not installed")
    plain = small_generator()
    model = small_generator().cuda()
    backend = BACKENDS[engine].make(model, torch.float32)
    assert isinstance(backend, Compiled)
    backend.run.strict = True
    for name in ("look", "decode", "enter", "step", "measure", "mix"):
        args = [x.cuda() for x in arguments(plain, name)]
        with torch.inference_mode():
            found, expected = backend.run(name, *args), outputs(networks(model)[name](*args))
            for a, b in zip(found, expected, strict=True):
                torch.testing.assert_close(a, b, atol=2e-3, rtol=2e-3)
