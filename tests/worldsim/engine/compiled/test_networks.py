"""Every network of a dream is one graph of fixed shapes, which computes what the module computes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.helpers.small_networks import arguments, small_denoisers, small_generator
from worldsim.engine.compiled.export import export, outputs
from worldsim.engine.compiled.networks import networks
from worldsim.engine.compiled.tensorrt import ASIDE, LEAST, partitions
from worldsim.models.world_model import WorldModel

CLOSE = {"atol": 1e-4, "rtol": 1e-4}
GENERATOR = ("encode", "decode", "look", "next_pose", "enter", "step", "measure", "mix")
STEPS = tuple(f"{kind}_{step}" for kind in ("denoiser", "free_running") for step in ("enter", "step"))
DENOISERS = ("features", "compress", "read", *STEPS)
OF: dict[str, Callable[[], WorldModel]] = {
    **dict.fromkeys(GENERATOR, lambda: small_generator(stem=8)),
    **dict.fromkeys(DENOISERS, small_denoisers),
}


def test_every_network_of_a_dream_is_exported_here() -> None:
    assert set(networks(small_generator())) == set(GENERATOR)
    assert set(DENOISERS) <= set(networks(small_denoisers())) <= {*DENOISERS, *GENERATOR}


@pytest.mark.parametrize("name", OF)
def test_an_exported_network_is_the_module(name: str) -> None:
    model = OF[name]()
    network, args = networks(model)[name], arguments(model, name)
    program = export(network, args)
    with torch.inference_mode():
        found, expected = outputs(program.module()(*args)), outputs(network(*args))
    assert (
        len(found)
        == len(expected)
        == (3 if name.endswith("enter") else 2 if name in ("next_pose", "read") else 1)
    )
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype == torch.float32
        torch.testing.assert_close(a, b, **CLOSE)
    shapes = [
        node.meta["val"].shape for node in program.graph.nodes if "val" in node.meta and _is_tensor(node)
    ]
    assert shapes and all(isinstance(side, int) for shape in shapes for side in shape)  # nothing is left open


def _is_tensor(node: torch.fx.Node) -> bool:
    return isinstance(node.meta["val"], Tensor)


@pytest.mark.parametrize("products", [torch.bfloat16, torch.float16])
def test_short_products_are_casts_in_the_graph(products: torch.dtype) -> None:
    """Off by rounding alone, float32 in and out, and the model keeps its own weights as they are."""
    model = small_generator()
    plain, short = networks(model)["step"], networks(model, products=products)["step"]
    args = arguments(model, "step")
    program = export(short, args)
    kinds = {
        node.meta["val"].dtype for node in program.graph.nodes if "val" in node.meta and _is_tensor(node)
    }
    assert {products, torch.float32} <= kinds
    with torch.inference_mode():
        found, expected = program.module()(*args)[0], plain(*args)[0]
    assert found.dtype == torch.float32
    error = (found - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert 0 < error < 0.05
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", ["decode", "step"])
def test_a_network_is_one_engine_of_tensorrt(name: str) -> None:
    """As torch's own partitioner cuts it by the operators that torch-tensorrt converts; no GPU is asked."""
    model = small_generator()
    parts = partitions(export(networks(model)[name], arguments(model, name)))
    assert len(parts) == 1 and parts[0] > 10 * LEAST / len(ASIDE)


def test_what_tensorrt_does_not_know_splits_a_network_and_is_left_to_torch() -> None:
    model = small_generator()
    parts = partitions(export(networks(model)["next_pose"], arguments(model, "next_pose")))
    assert 1 < len(parts) < 10
