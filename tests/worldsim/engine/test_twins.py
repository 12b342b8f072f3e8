"""Every part of the table of twins computes what its module computes: a part without a check here fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.small_model import WINDOW, small_config, small_model
from tests.helpers.small_variant import awake
from worldsim.config import GeneratorConfig
from worldsim.engine.backend import EngineError
from worldsim.engine.cpu.generator import FastGenerator
from worldsim.engine.cpu.linear import Bf16Product, TiledProduct
from worldsim.engine.cpu.twins import TWINS, Build, twin
from worldsim.engine.generation import Context, ModuleSampler, Target
from worldsim.engine.kernels.tiled_block import HEAD, attend
from worldsim.engine.kernels.tiles import available
from worldsim.engine.kv_ring import Ring
from worldsim.engine.past import DreamPast, Kept
from worldsim.frames import to_uint8
from worldsim.models.autoencoders.conv import ConvAutoencoder
from worldsim.models.denoisers.causal_dit import CausalDiT
from worldsim.models.denoisers.generator import EVIDENCE_CHANNELS, Generator
from worldsim.models.denoisers.layers import Cache
from worldsim.models.memory.rays.pixel_memory import PixelMemory
from worldsim.models.memory.rays.reader import FrameEncoder, RayReader
from worldsim.models.memory.variants.joint import JointCompressor, place_features
from worldsim.models.odometry import Odometry

pytestmark = pytest.mark.usefixtures("inference")

GRID, CHANNELS, CONTROL = (4, 4), 8, 26
BUILD = Build(GRID, context_level=0.15)
CLOSE = {"atol": 1e-4, "rtol": 1e-4}


def cells(latents: Tensor) -> Tensor:
    """(B, C, h, w) with their channels last."""
    return latents.permute(0, 2, 3, 1).contiguous()


def poses(n: int) -> Tensor:
    found = torch.randn(n, 5) * torch.tensor([3.0, 1, 3, 60, 20])
    found[-1] = found[0]  # somebody stands where he stood
    return found


def decoding(module: ConvAutoencoder) -> None:
    """Also by the head for twice the side, where there is one, and where cells give their own pixels linearly."""
    with torch.inference_mode(False):
        larger = ConvAutoencoder(replace(module.config, superresolution=True)).eval()
        nn.init.normal_(larger.superresolution[5].weight, std=0.1)  # begins with nothing to add
        linear = awake(ConvAutoencoder(replace(larger.config, linear=True))).eval()
        linear.scale.uniform_(0.5, 2)
    for autoencoder in (module, larger, linear):
        fast = twin(autoencoder, BUILD)
        for n, each in product((1, 2), (8, 16, 32)):
            latents = torch.randn(n, *GRID, CHANNELS).permute(0, 3, 1, 2)
            found = np.stack(fast(cells(latents), each * GRID[0]))
            expected = to_uint8(autoencoder.decode_for(latents, each * GRID[0]))
            assert np.abs(found.astype(int) - expected).max() <= 1  # a half may be rounded either way
            assert (found != expected).mean() < 0.001


def features(module: FrameEncoder) -> None:
    latents = torch.randn(3, CHANNELS, *GRID)
    torch.testing.assert_close(twin(module, BUILD)(cells(latents)), module(latents), **CLOSE)


def dead_reckoning(module: Odometry) -> None:
    for exact in (0.0, 1.0):
        with torch.inference_mode(False):
            module.turns.normal_()
            module.exact.fill_(exact)
        fast, at = twin(module, BUILD), poses(4)
        past = DreamPast(8, latents=list(torch.randn(4, CHANNELS, *GRID)), count=4)
        past.actions, past.poses = list(torch.randn(4, 20)), list(at)
        action, newest = torch.randn(20), past.latents[-1][None]
        after, moved = fast(fast.look(cells(newest)), [past], action, [None])
        model = small_model()
        recent, ground = past.recent(model, action), torch.tensor([past.ground])
        expected = module.next_pose(at[-1:], module.look(newest), *recent, ground)
        torch.testing.assert_close(after.float(), expected[0], **CLOSE)
        torch.testing.assert_close(moved.float(), expected[1], **CLOSE)
        given, moved = fast(fast.look(cells(newest)), [past], action, [at[1]])
        assert torch.equal(given.float(), at[1:2])
        torch.testing.assert_close(moved.float(), model.motion(at[-1:], at[1:2]), **CLOSE)


def reading(module: RayReader) -> None:
    fast = twin(module, BUILD)
    for count in (1, 5):
        seen, at, target = torch.randn(count, 16, 16), poses(count), poses(1)
        ages, valid = torch.arange(count, 0, -1.0), torch.ones(1, count, dtype=torch.bool)
        points = module.points(seen, at)
        guess, extra = module(seen[None], points[None], at[None], ages[None], valid, target)
        views = fast.prepare_views(seen, at.tolist(), range(7, 7 + count))
        found = fast([views], target.tolist(), 7 + count)
        torch.testing.assert_close(cells(torch.cat([guess, extra], 1)), found, **CLOSE)


def compression(module: JointCompressor) -> None:
    m, fast = 12, twin(module, BUILD)
    for budget in (1, 3, m):
        seen, actions, at = torch.randn(m, 16, 16), torch.randn(m, 20), poses(m)
        places = place_features(at[None], at[:1], torch.arange(m, 0, -1.0)[None], 4.0)
        order, valid = torch.randperm(m), torch.ones(1, m, dtype=torch.bool)
        expected = module(seen[None, order], actions[None, order], places[:, order], valid, budget)
        found = fast(list(seen), actions, places[0], order[m - budget :].tolist())
        torch.testing.assert_close(found, expected[0], **CLOSE)


def denoising(module: CausalDiT) -> None:
    """Commits of no frame to more than the ring holds; then frames of two dreams until it has gone round."""
    fast, b, level = twin(module, BUILD), 2, BUILD.context_level
    for n, steps in product((0, 1, WINDOW, 3 * WINDOW + 1), (1, 3)):
        rings, caches = [], []
        for _ in range(b):
            z, controls, cache = torch.randn(1, n, CHANNELS, *GRID), torch.randn(1, n, CONTROL), Cache()
            if n:
                module.commit(z, torch.full((1, n), level), controls, cache, 40 - n)
            rings.append((fast.commit(fast.patches(z[0]), controls[0], 40 - n), 0))
            caches.append(cache)
            _same(cache, rings[-1][0].plain(0), n)
        ring = Ring.joined(rings)
        for frame in range(41, 43 + WINDOW):
            read, controls = torch.randn(b, 1, module.extra, *GRID), torch.randn(b, 2, CONTROL)
            newest, noise = (torch.randn(b, 1, CHANNELS, *GRID) for _ in range(2))
            rows = [
                _denoised(module, newest[one], noise[one], controls[one], read[one], caches[i], frame, steps)
                for i, one in enumerate((slice(0, 1), slice(1, 2)))
            ]
            guess = read[:, 0, :CHANNELS]
            inputs = (fast.patches(x) for x in (newest[:, 0], noise[:, 0], guess, read[:, 0]))
            found = fast.cells(fast(*inputs, controls, ring, frame, steps))
            torch.testing.assert_close(found, cells(torch.cat(rows)[:, 0]), **CLOSE)


def _same(expected: Cache, found: Cache, n: int) -> None:
    if n == 0:
        assert not found.keys[0].numel()
    for kind in ("keys", "values"):
        for a, b in zip(getattr(expected, kind), getattr(found, kind), strict=bool(n)):
            torch.testing.assert_close(a, b, **CLOSE)


def _denoised(
    dit: CausalDiT,
    newest: Tensor,
    z: Tensor,
    controls: Tensor,
    read: Tensor,
    cache: Cache,
    frame: int,
    steps: int,
) -> Tensor:
    """A frame (1, 1, C, h, w) of one dream, by the module."""
    levels, guess = torch.linspace(1, 0, steps + 1), read[:, :, :CHANNELS]
    for i in range(steps):
        noisy = z, levels[i].expand(1, 1), controls[:, 1:]
        if i == 0:
            clean = newest, torch.full((1, 1), BUILD.context_level), controls[:, :1]
            x0 = guess + dit.advance(clean, noisy, read, cache, frame - 1)
        else:
            x0 = guess + dit.denoise(*noisy, read, cache, frame)
        keep = levels[i + 1] / levels[i]
        z = z * keep + x0 * (1 - keep)
    return z


def generating(_: Generator) -> None:
    small = GeneratorConfig(width=32, depth=3, heads=2, window=3, stem_blocks=1)
    whole_tiles = GeneratorConfig(width=128, depth=2, heads=2, window=3, patch=1)
    for config, dreams in product((small, replace(small, stem=8), whole_tiles), (1, 2)):
        with torch.inference_mode(False), torch.no_grad():
            module = Generator(config, CHANNELS, GRID, CONTROL)
            for parameter in module.parameters():  # no layer is left at its zeros
                parameter.add_(0.2 * torch.randn_like(parameter))
        for drawn, expected in _sampled(module.eval(), dreams, twin(module, BUILD)):
            torch.testing.assert_close(drawn, expected, atol=2e-4, rtol=2e-3)
        short = twin(module, replace(BUILD, products=torch.bfloat16))
        for drawn, expected in _sampled(module, dreams, short):  # factors of eight bits
            assert (drawn - expected).square().mean() < 0.05**2 * expected.square().mean()


def _sampled(module: Generator, dreams: int, fast: FastGenerator) -> Iterator[tuple[Tensor, Tensor]]:
    """What the fast part and the module draw, frame after frame."""
    samplers, pasts = (ModuleSampler(module), fast), []
    for _ in range(dreams):
        latents, controls, cache = torch.randn(5, CHANNELS, *GRID), torch.randn(5, CONTROL), Cache()
        module.commit(latents[None], controls[None], cache, 0)
        contexts = cache, (samplers[1].commit(latents, controls, 0), 0)
        pasts.append([DreamPast(100, latents=list(latents), kept=Kept(context=c)) for c in contexts])
    for frame in range(6, 14):
        latents, control = torch.randn(2, dreams, CHANNELS, *GRID), torch.randn(2, dreams, CONTROL)
        seen = torch.randn(2, dreams, EVIDENCE_CHANNELS, 8 * GRID[0], 8 * GRID[1])
        newest = Context(latents[0], torch.full((dreams,), 0.1), control[0], seen[0])
        target = Target(frame, control[1], seen[1], 0.5 * (frame % 2))
        drawn = []
        for i, sampler in enumerate(samplers):
            for pair in pasts:
                pair[i].pending = True
            levels = torch.linspace(1, 0, 2 + frame % 3)
            drawn.append(sampler.sample([pair[i] for pair in pasts], newest, latents[1], target, levels))
        yield drawn[1], drawn[0]


TILES = pytest.mark.skipif(not available(), reason="no tiles of bfloat16 here")


@TILES
@pytest.mark.parametrize(
    ("rows", "inside", "outside"), [(1, 64, 64), (16, 32, 256), (33, 100, 70), (80, 256, 48)]
)
def test_a_product_by_tiles_is_that_of_rounded_numbers(rows: int, inside: int, outside: int) -> None:
    """Summed in single precision, as oneDNN sums them and does not keep."""
    x, weight = torch.randn(rows, inside), torch.randn(inside, outside)
    multiplied = TiledProduct(weight)
    multiplied(torch.randn(rows, inside))  # what earlier rows left is not seen
    expected = x.bfloat16().double() @ weight.bfloat16().double()
    found = multiplied(x)
    assert found.is_contiguous()
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-4)


@TILES
def test_a_row_by_tiles_is_the_same_beside_others() -> None:
    """A dream is the same with and without its twin."""
    x, multiplied = torch.randn(48, 64), TiledProduct(torch.randn(64, 96))
    assert torch.equal(multiplied(x)[16:32], multiplied(x[16:32]))


@TILES
@pytest.mark.parametrize("tokens", [16, 48, 80])
@pytest.mark.parametrize(("frames", "begins"), [(1, 0), (2, 0), (2, 1)])
def test_attention_by_tiles_is_attention(tokens: int, frames: int, begins: int) -> None:
    """Two dreams, a ring that is not full, and of two frames the first does not see what is drawn after it."""
    dreams, heads, places, count = 2, 2, 6, 3
    queries = torch.randn(dreams, heads, frames, tokens, HEAD) / HEAD**0.5
    keys, values = torch.randn(2, dreams, heads, places, tokens, HEAD)
    h = torch.full((frames * dreams * tokens, heads * HEAD), 7.0)
    attend(queries.numpy(), keys.numpy(), values.numpy(), count, begins, h.numpy())
    scores = torch.einsum("bhtsd,bhpkd->bhtspk", queries, keys)
    scores[..., 1 + count :, :] = -torch.inf
    scores[:, :, : frames - 1, :, 0] = -torch.inf
    weights = scores.flatten(4).softmax(-1).unflatten(4, (places, tokens))
    expected = torch.einsum("bhtspk,bhpkd->tbshd", weights, values).flatten(3)
    found = h.view(frames, dreams, tokens, -1)
    torch.testing.assert_close(found[begins:], expected[begins:], atol=0.03, rtol=0.03)
    assert (found[:begins] == 7).all()


@pytest.mark.parametrize("rows", [1, 16, 33])
def test_a_packed_bf16_product_has_the_numbers_of_a_plain_one(rows: int) -> None:
    """However many rows there are, whatever the layout was chosen for; also where torch has no oneDNN."""
    x, weight = torch.randn(rows, 64), torch.randn(64, 48)
    expected = (x.bfloat16() @ weight.bfloat16()).float()
    packed = Bf16Product(weight, 16)
    torch.testing.assert_close(packed(x), expected, atol=1e-2, rtol=1e-2)
    packed.packed = None
    assert torch.equal(packed(x), expected)


def measuring(module: PixelMemory) -> None:
    """Distances; what is shown with them is compared over whole dreams in ``models/test_pixel_memory.py``."""
    latents, pitch = torch.randn(2, CHANNELS, *GRID), torch.tensor([20.0, -5.0])
    found = twin(module, BUILD).measure(latents, pitch)
    torch.testing.assert_close(found, module.depth(latents, pitch), **CLOSE)


CHECKS: dict[type[nn.Module], Callable[..., None]] = {
    ConvAutoencoder: decoding,
    FrameEncoder: features,
    JointCompressor: compression,
    RayReader: reading,
    CausalDiT: denoising,
    Generator: generating,
    PixelMemory: measuring,
    Odometry: dead_reckoning,
}


@pytest.mark.parametrize("kind", TWINS, ids=lambda kind: kind.__name__)
def test_a_fast_part_computes_what_its_module_computes(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    with torch.inference_mode(False):
        models = [small_model(pixels=True), type(small_model())(replace(small_config(), generates=True))]
    modules = (module for model in models for module in model.children())
    CHECKS[kind](next(module for module in modules if type(module) is kind))


def test_a_module_without_a_twin_is_refused() -> None:
    with pytest.raises(EngineError, match="no part for a Linear"):
        twin(nn.Linear(2, 2), BUILD)
