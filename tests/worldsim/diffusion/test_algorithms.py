"""Algorithms 1 to 3: any method rolls out, and methods that say the same do the same, sample by sample."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor

import worldsim.diffusion.algorithms
from worldsim.config import shipped
from worldsim.diffusion.algorithms import Denoise, advance, autoregressive_step, initialise, rollout
from worldsim.diffusion.methods import Method, method
from worldsim.diffusion.process import KINDS, Process, RectifiedFlow, corrupt, from_x0, process_from, to_x0
from worldsim.diffusion.requirements import ScheduleError
from worldsim.diffusion.samplers import Ddim, sampler_from
from worldsim.diffusion.schedules import fifo, next_frame, path

B, C, H, W = 2, 3, 2, 2
LIKE = torch.zeros(B, C, H, W)


def _random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass
class Oracle:
    """Knows every frame of a film, and writes down how it is called."""

    film: Tensor = field(default_factory=lambda: torch.randn(B, 80, C, H, W, generator=_random(7)))
    asked: list[tuple[int, int, list[int], Tensor]] = field(default_factory=list)

    def __call__(self, z: Tensor, level: Tensor, first: int, references: list[int]) -> Tensor:
        assert level.shape == z.shape[:2]
        self.asked.append((first, z.shape[1], references, level[0]))
        return self.film[:, first : first + z.shape[1]]

    def context(self, count: int) -> list[Tensor]:
        return list(self.film[:, :count].unbind(1))


def _blend(process: Process, frames: list[Tensor]) -> Denoise:
    """A denoiser that uses all it is given: the noisy frame, its level and the reference frames."""

    def denoise(z: Tensor, level: Tensor, first: int, references: list[int]) -> Tensor:
        past = (
            torch.stack([frames[r] for r in references]).mean(0) if references else torch.zeros_like(z[:, 0])
        )
        sight = process.alpha(level)[..., None, None, None]
        return (0.3 * sight * z + 0.6 * past[:, None] + 0.1 * level[..., None, None, None]).tanh()

    return denoise


def _roll(m: Method, process: Process, count: int, context: int = 6, seed: int = 3) -> Tensor:
    frames = Oracle().context(context)
    return rollout(_blend(process, frames), m, process, frames, count, _random(seed), LIKE)


@pytest.mark.parametrize("context", [0, 5])
@pytest.mark.parametrize("name", shipped.methods())
def test_every_preset_rolls_out_the_film_that_its_denoiser_sees(name: str, context: int) -> None:
    m, oracle = method(name, ["initialise.steps=3"]), Oracle()
    frames = oracle.context(context)
    made = rollout(oracle, m, RectifiedFlow(), frames, 21, _random(), LIKE)
    assert made.shape == (B, 21, C, H, W) and len(frames) == context + 21
    torch.testing.assert_close(made, oracle.film[:, context : context + 21], atol=1e-5, rtol=1e-5)
    for i, frame in enumerate(frames):
        assert torch.equal(frame, oracle.film[:, i] if i < context else made[:, i - context])


@pytest.mark.parametrize("name", shipped.methods())
def test_every_call_sees_the_methods_levels_and_references(name: str) -> None:
    m, oracle = method(name, ["initialise.steps=3"]), Oracle()
    schedule, begin = m.schedule, 5
    rollout(oracle, m, RectifiedFlow(), oracle.context(begin), 2 * schedule.stride, _random(), LIKE)
    expected = []
    if schedule.window > schedule.stride:  # Algorithm 2: one common level
        for level in (1.0, 2 / 3, 1 / 3):
            n = m.initial_frames
            expected.append((begin, n, m.initial_references(begin), torch.full((n,), level)))
    for first in (begin, begin + schedule.stride):  # Algorithm 3
        for row in path(schedule, m.steps)[:-1]:
            for k in range(0, schedule.window, m.frames_per_call):
                part = row[k : k + m.frames_per_call]
                expected.append((first + k, len(part), m.references(first), part))
    assert len(oracle.asked) == len(expected)
    assert sum(asked[0] >= begin + schedule.stride for asked in oracle.asked[-m.calls :]) == m.calls
    for found, wanted in zip(oracle.asked, expected, strict=True):
        assert found[:3] == wanted[:3]
        torch.testing.assert_close(found[3], wanted[3], atol=1e-6, rtol=1e-6)


def test_no_method_is_asked_for_its_name() -> None:
    source = Path(worldsim.diffusion.algorithms.__file__).read_text()
    assert ".name" not in source
    assert not [name for name in shipped.methods() if f'"{name}"' in source]


def test_an_autoregressive_step_emits_clean_frames_and_carries_the_rest() -> None:
    oracle = Oracle()
    for schedule in (next_frame(), fifo(3)):
        w, stride = schedule.window, schedule.stride
        truth, eps = oracle.film[:, :w], torch.randn(B, w, C, H, W, generator=_random())
        start = torch.tensor(schedule.levels_in).expand(B, -1)
        z = corrupt(truth, eps, start)
        clean, carried = autoregressive_step(
            lambda z, level, truth=truth: truth, z[:, : w - stride], z[:, w - stride :], schedule, 4
        )
        torch.testing.assert_close(clean, truth[:, :stride], atol=1e-5, rtol=1e-4)
        left = torch.tensor(schedule.levels_out[stride:]).expand(B, -1)
        expected = corrupt(truth[:, stride:], eps[:, stride:w], left)
        torch.testing.assert_close(carried, expected, atol=1e-5, rtol=1e-4)


def test_the_plain_step_is_ddim_on_the_rectified_flow() -> None:
    noise, flow = torch.randn(B, 1, C, H, W, generator=_random()), RectifiedFlow()
    blend = _blend(flow, [])
    results = [
        autoregressive_step(lambda z, t: blend(z, t, 0, []), noise[:, :0], noise, next_frame(), 4, sampler)[0]
        for sampler in (Ddim(flow), sampler_from("ddim", flow))
    ]
    plain = autoregressive_step(lambda z, t: blend(z, t, 0, []), noise[:, :0], noise, next_frame(), 4)[0]
    for result in results:
        torch.testing.assert_close(result, plain)


def test_initialisation_noises_the_first_frames_to_the_input_levels() -> None:
    """Known frames and frames that a perfect denoiser made are the same start."""
    m, oracle, process = (
        method("fifo", ["window=5", "initialise.steps=2"]),
        Oracle(),
        process_from("vp_cosine"),
    )
    known = oracle.film[:, 4:8]
    given = initialise(oracle, m, process, 4, LIKE, _random(), known)
    assert given.shape == (B, 4, C, H, W) and not oracle.asked
    level = torch.tensor(m.schedule.levels_in[:4]).expand(B, -1)
    noise = torch.randn(B, 4, C, H, W, generator=_random())
    torch.testing.assert_close(given, corrupt(process, known, noise, level))
    made = initialise(oracle, m, process, 4, LIKE, _random())
    assert len(oracle.asked) == 2 and all((asked[3] == asked[3][0]).all() for asked in oracle.asked)
    random = _random()
    torch.randn(B, 5, C, H, W, generator=random)  # what the frames were made of
    noise = torch.randn(B, 4, C, H, W, generator=random)
    torch.testing.assert_close(made, corrupt(process, known, noise, level), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="at least 4 known frames"):
        initialise(oracle, m, process, 4, LIKE, _random(), known[:, :3])


def test_a_method_that_carries_nothing_needs_no_initialisation() -> None:
    oracle = Oracle()
    carried = initialise(oracle, method("outpainting"), RectifiedFlow(), 0, LIKE)
    assert carried.shape == (B, 0, C, H, W) and not oracle.asked


def test_fifo_with_window_1_samples_what_gamengen_without_context_does() -> None:
    process = RectifiedFlow()
    one = method("fifo", ["window=1", "steps=4", "initialise.steps=10"])
    other = method("gamengen", ["references.policy=none"])
    assert torch.equal(_roll(one, process, 7), _roll(other, process, 7))


def test_outpainting_with_window_1_and_gamengens_references_samples_what_gamengen_does() -> None:
    process = RectifiedFlow()
    one = method("outpainting", ["window=1", "steps=4", "references.count=64", "references.level=0.05"])
    assert torch.equal(_roll(one, process, 7), _roll(method("gamengen"), process, 7))
    assert not torch.equal(_roll(one, process, 7), _roll(method("art_v", ["steps=4"]), process, 7))


def test_asynchronous_without_lag_samples_what_a_block_at_one_level_does() -> None:
    process = RectifiedFlow()
    one = method("ar_diffusion", ["lag=0", "steps=10"])
    assert torch.equal(_roll(one, process, 20), _roll(method("outpainting"), process, 20))


def test_asynchronous_with_full_lag_generates_frame_by_frame() -> None:
    """Each frame of the block is finished from finished ones, as next-frame generation finishes it from its past."""

    def imagined(m: Method) -> Tensor:
        frames = Oracle().context(3)

        def denoise(z: Tensor, level: Tensor, first: int, references: list[int]) -> Tensor:
            rows = []
            for j in range(z.shape[1]):
                past = [frames[r] for r in references] + list(z[:, :j].unbind(1))
                assert j == 0 or level[0, j] == 1 or (level[0, :j] == 0).all()
                rows.append((1.7 * torch.stack(past).mean(0)).tanh())
            return torch.stack(rows, 1)

        return rollout(denoise, m, RectifiedFlow(), frames, 6, _random())

    block = method("ar_diffusion", ["lag=1", "steps=3", "window=6"])
    single = method("gamengen", ["steps=3"])
    assert block.calls == 6 * single.calls
    torch.testing.assert_close(imagined(block), imagined(single))


@pytest.mark.parametrize("process", ["vp_linear", "vp_cosine", "rectified_flow"])
@pytest.mark.parametrize("name", ["fifo", "outpainting", "rolling", "ar_diffusion"])
def test_x0_eps_and_v_give_one_and_the_same_sample(name: str, process: str) -> None:
    made = process_from(process)
    m = method(name, ["window=4", "steps=3", "initialise.steps=3"])
    samples = []
    for kind in KINDS:
        frames = list(Oracle().film[:, :6].double().unbind(1))
        x0 = _blend(made, frames)

        def denoise(
            z: Tensor, level: Tensor, first: int, refs: list[int], kind: str = kind, x0: Denoise = x0
        ) -> Tensor:
            prediction = from_x0(made, x0(z, level, first, refs), z, level, kind)
            return to_x0(made, prediction, z, level, kind)

        samples.append(rollout(denoise, m, made, frames, 9, _random()))
    torch.testing.assert_close(samples[0], samples[1], atol=1e-7, rtol=1e-7)
    torch.testing.assert_close(samples[0], samples[2], atol=1e-7, rtol=1e-7)


@pytest.mark.parametrize("name", ["fifo", "gamengen", "diffusion_forcing"])
def test_ddim_with_eta_1_samples_what_ddpm_does(name: str) -> None:
    process, words = process_from("vp_cosine"), ["window=4", "steps=4"]
    one, other = method(name, [*words, "eta=1"]), method(name, [*words, "sampler=ddpm"])
    torch.testing.assert_close(_roll(one, process, 9), _roll(other, process, 9), atol=1e-5, rtol=1e-5)


def test_memory_as_long_as_the_window_and_not_compressed_samples_what_no_memory_does() -> None:
    plain = ["references.count=16", "memory.compressor=none", "memory.budget=null"]
    one, process = method("soft_compression", plain), RectifiedFlow()
    assert torch.equal(_roll(one, process, 18, 30), _roll(method("last_16"), process, 18, 30))
    assert not torch.equal(
        _roll(method("soft_compression"), process, 18, 30), _roll(method("last_16"), process, 18, 30)
    )


def test_a_policy_that_looks_ahead_is_stopped_before_it_is_used() -> None:
    m = method("last_16")
    object.__setattr__(m, "references", lambda i: [i])
    with pytest.raises(ScheduleError, match="causality does not hold: the step from frame 3 on"):
        advance(Oracle(), m, RectifiedFlow(), 3, LIKE[:, None][:, :0])


def test_a_rollout_without_context_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="needs `like`"):
        rollout(Oracle(), method("gamengen"), RectifiedFlow(), [], 2)


def test_a_window_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 3 frames in the window, found 2"):
        autoregressive_step(lambda z, t: z, LIKE[:, None], LIKE[:, None], fifo(3), 2)
