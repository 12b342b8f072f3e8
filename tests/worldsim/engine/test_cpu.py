"""The fast engine computes what the plain modules compute, part by part and over a whole dream."""

import gc
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.small_model import SIZE, SPEC, WINDOW
from worldsim.actions import space_from_spec
from worldsim.checkpoint import LoadedModel
from worldsim.config import DreamConfig
from worldsim.dream.world import DreamEnv
from worldsim.engine.cpu.backend import Cpu
from worldsim.engine.cpu.convolution import TiledConv3x3, convolution_of
from worldsim.engine.cpu.winograd import WinogradConv3x3
from worldsim.engine.eager import Eager
from worldsim.engine.kernels import poses as camera
from worldsim.engine.kernels.tiles import available
from worldsim.engine.past import DreamPast
from worldsim.engine.select import EngineError, engine_for
from worldsim.models import geometry
from worldsim.models.latent_cache import KEPT, LatentCache
from worldsim.models.memory.rays.selection import relevant_views

N = 30
REFRESH = DreamConfig().refresh
CLOSE = {"atol": 1e-4, "rtol": 1e-4}

pytestmark = pytest.mark.usefixtures("inference")


def _cells(latents: torch.Tensor) -> torch.Tensor:
    return latents.permute(0, 2, 3, 1).contiguous()


def _poses(n: int) -> torch.Tensor:
    poses = torch.randn(n, 5) * torch.tensor([3.0, 1, 3, 60, 20])
    poses[-1] = poses[0]  # somebody stands where he stood
    return poses


def _context(seed: int = 0, n: int = N) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    space = space_from_spec(SPEC)
    space.seed(seed)
    return {
        "frames": rng.integers(0, 256, (n, SIZE, SIZE, 3), np.uint8),
        "actions": [space.sample() for _ in range(n - 1)],
    }


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize(("side", "silu"), [(4, True), (8, False), (16, True), (32, False)])
def test_a_fast_convolution_is_the_convolution(side: int, silu: bool, n: int) -> None:
    conv = nn.Conv2d(12, 20, 3, padding=1)
    fast = WinogradConv3x3(conv.weight, conv.bias, (side, side))
    for _ in range(2):  # the second time its memory is in use already
        x = torch.randn(n, 12, side, side)
        expected = conv(nn.functional.silu(x) if silu else x)
        torch.testing.assert_close(fast(_cells(x), silu).permute(0, 3, 1, 2), expected, **CLOSE)


@pytest.mark.skipif(not available(), reason="no tiles of bfloat16 here")
@pytest.mark.parametrize(
    ("side", "n", "silu", "inside", "outside"),
    [
        (4, 3, True, 7, 5),
        (8, 1, True, 40, 100),
        (16, 2, False, 12, 20),
        (32, 1, True, 33, 48),
        (6, 2, False, 64, 32),
    ],
)
def test_a_convolution_by_tiles_is_the_convolution_to_bf16_of_it(
    side: int, n: int, silu: bool, inside: int, outside: int
) -> None:
    """Whether tiles fit rows of the picture or run on over its border, and channels fill them or not."""
    conv = nn.Conv2d(inside, outside, 3, padding=1)
    fast, x = TiledConv3x3(conv.weight, conv.bias, (side, side)), torch.randn(n, inside, side, side)
    fast(_cells(torch.randn(n, inside, side, side)))  # what an earlier picture left is not seen
    found = fast(_cells(x), silu).permute(0, 3, 1, 2)
    assert found.dtype is torch.float32
    torch.testing.assert_close(found, conv(nn.functional.silu(x) if silu else x), atol=0.02, rtol=2**-7)


@pytest.mark.parametrize(
    ("products", "tiles", "kind"),
    [
        (torch.float32, True, WinogradConv3x3),
        (torch.bfloat16, False, WinogradConv3x3),
        (torch.bfloat16, True, TiledConv3x3),
    ],
)
def test_a_convolution_is_of_the_kind_that_its_processor_is_fast_at(
    products: torch.dtype, tiles: bool, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worldsim.engine.kernels.tiles.available", lambda: tiles)
    fast = convolution_of(nn.Conv2d(3, 4, 3, padding=1), (8, 8), products)
    assert type(fast) is kind


def test_numbers_for_poses_are_the_tensors_geometry() -> None:
    poses = _poses(12)
    for a, b in pairwise(poses):
        p, q = a.tolist(), b.tolist()
        torch.testing.assert_close(torch.tensor(camera.rotation(p)), geometry.rotation(a), **CLOSE)
        moved = camera.motion(p, q, 4.0)
        torch.testing.assert_close(torch.tensor(moved), geometry.motion(a, b, 4.0), **CLOSE)
        moved[4] += 30  # beyond the limit of the pitch
        torch.testing.assert_close(
            torch.tensor(camera.move(p, moved, 4.0)), geometry.move(a, torch.tensor(moved), 4.0), **CLOSE
        )


def test_the_same_views_are_relevant() -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        poses, target = _poses(20), _poses(1)
        expected, _ = relevant_views(poses[None], torch.ones(1, 20, dtype=torch.bool), target, 6, 4.0)
        stands = [camera.viewpoint(pose.tolist(), 4.0) for pose in poses]
        found = camera.relevant(stands, camera.viewpoint(target[0].tolist(), 4.0), 6)
        assert found == expected[0].flip(0).tolist()
        penalty = torch.rand(1, 20, dtype=torch.float64)
        expected, _ = relevant_views(
            poses[None], torch.ones(1, 20, dtype=torch.bool), target, 6, 4.0, penalty
        )
        found = camera.relevant(stands, camera.viewpoint(target[0].tolist(), 4.0), 6, penalty[0].numpy())
        assert found == expected[0].flip(0).tolist()


def test_fast_reckoning_along_true_frames_is_reckoning(loaded: LoadedModel) -> None:
    pasts = []
    for engine in (engine_for(loaded, "plain"), engine_for(loaded, "fast")):
        torch.manual_seed(1)
        past = DreamPast(30, latents=list(torch.randn(9, 8, 4, 4)), actions=list(torch.randn(9, 20)), count=9)
        past.poses = [torch.randn(5)]
        engine.integrate_pose(past)
        pasts.append(past)
    for a, b in zip(pasts[0].poses, pasts[1].poses, strict=True):
        torch.testing.assert_close(a, b, **CLOSE)


@pytest.mark.parametrize("context", [1, 3, N])
@pytest.mark.parametrize("pose_from", ["dream", "true"])
def test_a_fast_dream_is_the_plain_dream(loaded: LoadedModel, context: int, pose_from: str) -> None:
    """Same seed, same noise: within 1e-3, from the first frame on, beside its twin, after its past was corrected."""
    given = _context(n=context)
    given["poses"] = np.cumsum(np.random.default_rng(1).normal(size=(context, 5)), 0)
    pairs = [
        [DreamEnv(loaded, history=h, pose_from=pose_from, engine=engine) for h in (20, WINDOW)]
        for engine in ("plain", "fast")
    ]
    for dream in pairs[0] + pairs[1]:
        dream.reset(seed=3, options=given)
    assert isinstance(pairs[0][0].predictor.engine.backend, Eager)
    assert isinstance(pairs[1][0].predictor.engine.backend, Cpu)
    space = pairs[0][0].action_space
    space.seed(1)
    for i in range(2 * REFRESH + 3):
        action = space.sample()
        if i == REFRESH:
            frames = np.asarray(_context(7)["frames"])[:REFRESH]
            for dream in pairs[0] + pairs[1]:
                dream.correct(frames)
        if i % 3:
            for dream in pairs[0] + pairs[1]:
                dream.set_true_pose(np.array([i, 1.0, 2, 9 * i, 5]))
        plain, fast = (DreamEnv.together(pair, action) for pair in pairs)
        for one, other, p, f in zip(plain, fast, *pairs, strict=True):
            assert np.abs(one[0].astype(int) - other[0]).max() <= 1
            assert np.allclose(one[4]["pose"], other[4]["pose"], atol=3e-3)
            assert one[4]["memory_latents"] == other[4]["memory_latents"]
            latents = (d.past.latents[-1] for d in (p, f))
            torch.testing.assert_close(*latents, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("engine", ["fast", "plain"])
def test_a_dream_that_is_prepared_is_the_same_dream(loaded: LoadedModel, engine: str) -> None:
    """Bit for bit, over compressions, a correction and a dial that is turned in between; nothing is left to do then."""

    def played(prepare: bool) -> list[np.ndarray]:
        dream, frames = DreamEnv(loaded, history=20, budget=4, engine=engine), []
        dream.prepare()  # there is nothing yet
        dream.reset(seed=1, options=_context())
        dream.action_space.seed(1)
        for i in range(4 * REFRESH):
            if prepare:
                dream.prepare()
                assert dream.state.age < REFRESH and not dream.state.stale
            if i == 15:
                dream.budget = 2
            frames.append(dream.step(dream.action_space.sample())[0])
            if i == 10:
                dream.correct(np.asarray(_context(2)["frames"])[:11])
        return frames

    assert all(np.array_equal(a, b) for a, b in zip(played(True), played(False), strict=True))


def test_changed_weights_reach_the_next_dream(loaded: LoadedModel) -> None:
    dream = DreamEnv(loaded, engine="fast")
    given = _context()
    weight = loaded.model.denoiser.outside.weight
    original = weight.clone()

    def first_frame() -> np.ndarray:
        dream.reset(seed=0, options=given)
        return dream.step(dream.action_space.sample())[0]

    dream.action_space.seed(0)
    before = first_frame()
    with torch.inference_mode(False), torch.no_grad():
        weight.mul_(3)
        dream.action_space.seed(0)
        try:
            after = first_frame()
        finally:
            weight.copy_(original)
    assert not np.array_equal(before, after)


def test_an_engine_that_does_not_exist_is_refused(loaded: LoadedModel) -> None:
    with pytest.raises(EngineError, match="auto, tensorrt, cudagraphs, cpu, onnx, compile, eager"):
        DreamEnv(loaded, engine="warp")


def test_memory_stays_flat(loaded: LoadedModel) -> None:
    """Once the longest history is full, no step leaves a tensor behind, corrections included."""
    dreams = [DreamEnv(loaded, denoising_steps=1), DreamEnv(loaded, history=WINDOW, denoising_steps=1)]
    for dream in dreams:
        dream.reset(options=_context())
        dream.action_space.seed(0)
    frames = np.asarray(_context(2)["frames"])[:16]

    def bytes_after(steps: int) -> int:
        for i in range(steps):
            DreamEnv.together(dreams, dreams[0].action_space.sample())
            if i % 16 == 15:
                for dream in dreams:
                    dream.prefetch(frames[i % 3])
                    dream.correct(np.roll(frames, i // 16 % 3, 0))
        gc.collect()
        storages = {
            x.untyped_storage().data_ptr(): x.untyped_storage().nbytes()
            for x in gc.get_objects()
            if type(x) in (torch.Tensor, torch.nn.Parameter)  # a proxy's may be gone, a traced one has none
        }
        return sum(storages.values())

    bytes_after(64)
    assert bytes_after(64) == bytes_after(64)


def test_a_frame_is_encoded_once_and_ahead_of_time() -> None:
    asked: list[int] = []

    def encode(frames: np.ndarray) -> torch.Tensor:
        asked.append(len(frames))
        return torch.from_numpy(frames.astype(np.float32)).mean((1, 2, 3))[:, None]

    ahead = LatentCache(encode)
    frames = np.random.default_rng(0).integers(0, 256, (KEPT + 5, 8, 8, 3), np.uint8)
    expected = frames.astype(np.float32).mean((1, 2, 3))
    ahead.prefetch(frames[1])
    ahead.prefetch(frames[1])
    assert np.allclose(ahead(frames[:3])[:, 0], expected[:3])
    assert sorted(asked) == [1, 2]  # two of the three were not expected
    ahead(frames[[2, 0, 1]])
    assert len(asked) == 2
    assert np.allclose(ahead(frames)[:, 0], expected)  # more than are kept
    ahead(frames[:1])
    assert asked[-1] == 1  # the oldest had been forgotten


def test_frames_that_are_known_are_not_pushed_out_by_new_ones_of_the_same_call() -> None:
    ahead = LatentCache(lambda frames: torch.as_tensor(frames).float().mean((1, 2))[..., None, None])
    frames = np.random.default_rng(0).integers(0, 256, (KEPT + 8, 2, 2, 3), dtype=np.uint8)
    ahead(frames[:KEPT])
    both = frames[[*range(KEPT, KEPT + 8), 0, 1, 1]]  # eight new ones, then the oldest that are known
    assert torch.equal(ahead(both), ahead.encode(both))
