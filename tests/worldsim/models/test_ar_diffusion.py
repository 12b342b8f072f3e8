"""AR-Diffusion's denoiser sees no later frame, keeps finished frames exactly, and follows Table 6."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.helpers.small_ar_diffusion import small_ar_diffusion
from worldsim.diffusion.ad_scheduler import Plan, generate
from worldsim.diffusion.process import DiffusionError, to_x0
from worldsim.diffusion.samplers import sampler_from
from worldsim.models.ar_diffusion import ArDiffusion, ArDiffusionConfig, Sampling
from worldsim.models.denoisers.ar_dit import ArDiT, ArDiTConfig
from worldsim.models.denoisers.protocol import DenoiserError
from worldsim.models.denoisers.token_frames import FrameCache

LENGTH = 7


def _inputs(count: int = LENGTH) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    z, level = torch.randn(2, count, 4, 3, generator=g), torch.rand(2, count, generator=g)
    return z, level, torch.randn(2, count, 20, generator=g)


@pytest.mark.parametrize("what", ["latent", "level", "action"])
@pytest.mark.parametrize(("causal", "forcing"), [(True, False), (True, True), (False, False)])
def test_a_changed_frame_leaves_all_earlier_frames_bit_identical(
    what: str, causal: bool, forcing: bool
) -> None:
    model = small_ar_diffusion(causal=causal, forcing=forcing)
    z, level, actions = _inputs()
    before = model(z, level, actions)
    {"latent": z, "level": level, "action": actions}[what][:, 3] *= 0.5
    changed = (before != model(z, level, actions)).flatten(2).any(2).any(0)
    assert changed.tolist() == [not causal] * 3 + [True] * (LENGTH - 3)


def test_a_frame_sees_no_further_back_than_its_window() -> None:
    net = small_ar_diffusion(window=3).denoiser
    net.blocks = net.blocks[:1]
    z, level, actions = _inputs()
    before = net(z, level, actions)
    z[:, 1] += 1
    changed = (before != net(z, level, actions)).flatten(2).any(2).any(0)
    assert changed.tolist() == [False, True, True, True, False, False, False]


@pytest.mark.parametrize("window", [1, 2, 4, 20])
@pytest.mark.parametrize("parts", [[1] * LENGTH, [3, 1, 3], [LENGTH]])
@pytest.mark.parametrize("forcing", [False, True])
def test_frame_by_frame_with_kept_frames_equals_all_at_once(
    window: int, parts: list[int], forcing: bool
) -> None:
    net = small_ar_diffusion(window, forcing=forcing).denoiser
    z, level, actions = _inputs()
    cache, found, first = FrameCache(), [], 0
    for n in parts:
        part = slice(first, first + n)
        found.append(net(z[:, part], level[:, part], actions[:, part], None, cache, first, n))
        first += n
    torch.testing.assert_close(torch.cat(found, 1), net(z, level, actions), atol=1e-4, rtol=0)
    assert not cache.keys or cache.keys[0].shape[2] <= (window - 1) * 4


@pytest.mark.parametrize("prediction", ["x0", "eps", "v"])
@pytest.mark.parametrize("difference", [0, 2, 6])
@pytest.mark.parametrize("forcing", [False, True])
def test_generation_that_keeps_finished_frames_equals_one_that_computes_all(
    prediction: str, difference: int, forcing: bool
) -> None:
    process = "rectified_flow" if forcing else "vp_linear"
    model = small_ar_diffusion(prediction=prediction, forcing=forcing, process=process)
    z, _, actions = _inputs()
    given = z[:, :2]
    sampling = Sampling(difference, steps=6)
    found = model.generate(given, actions, sampling, torch.Generator().manual_seed(3))
    noise = torch.randn(2, LENGTH - 2, 4, 3, generator=torch.Generator().manual_seed(3))

    def plainly(z: Tensor, level: Tensor, frames: slice) -> Tensor:
        return to_x0(model.process, model(z, level, actions), z, level, prediction)[:, frames]

    start = torch.cat([0.5 * given, noise], 1)
    plan = Plan(LENGTH - 2, difference, 6, given=2)
    whole = generate(plainly, plan, start, sampler_from("ddim", model.process))
    torch.testing.assert_close(found, whole[:, 2:] / 0.5, atol=1e-3, rtol=1e-3)


def test_the_backbone_is_causal_only() -> None:
    with pytest.raises(DenoiserError, match="forcing_dit is causal"):
        small_ar_diffusion(causal=False, forcing=True)


class _Counting(ArDiT):
    frames = 0

    def forward(self, z: Tensor, *rest: object, **more: object) -> Tensor:  # type: ignore[override]
        self.frames += z.shape[1]
        return super().forward(z, *rest, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("difference", [0, 2, 5])
def test_frames_whose_level_does_not_change_are_not_computed(difference: int) -> None:
    """Each new frame in ``steps`` calls, and each finished one once more, but for the last to finish."""
    model = small_ar_diffusion()
    model.denoiser.__class__ = _Counting
    z, _, actions = _inputs()
    model.generate(z[:, :2], actions, Sampling(difference, steps=5), torch.Generator())
    new = LENGTH - 2
    kept = max(f.start for f in Plan(new, difference, 5, given=2).working())
    assert model.denoiser.frames == 5 * new + kept  # type: ignore[attr-defined]


def test_a_video_without_any_given_frame_begins_from_noise_alone() -> None:
    model = small_ar_diffusion()
    z, _, actions = _inputs()
    made = [
        model.generate(z[:, :0], actions, Sampling(1, 4), torch.Generator().manual_seed(i)) for i in (0, 0, 1)
    ]
    assert made[0].shape == z.shape and made[0].isfinite().all()
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])


def test_guidance_one_is_no_guidance_and_zero_ignores_the_actions() -> None:
    model = small_ar_diffusion()
    z, _, actions = _inputs()

    def made(guidance: float, actions: Tensor = actions) -> Tensor:
        sampling = Sampling(2, 4, guidance)
        return model.generate(z[:, :1], actions, sampling, torch.Generator().manual_seed(0))

    assert not torch.allclose(made(1), made(1, -actions), atol=1e-3)
    torch.testing.assert_close(made(0), made(0, -actions))
    torch.testing.assert_close(made(1), made(1 + 1e-7), atol=1e-4, rtol=1e-3)
    assert not torch.allclose(made(3), made(1), atol=1e-3)


def test_the_process_is_the_papers_chain_of_a_thousand_steps() -> None:
    model = small_ar_diffusion()
    beta = torch.linspace(0.0001, 0.002, 1000, dtype=torch.double)
    alpha = (1 - beta).cumprod(0).sqrt()
    t = torch.arange(1, 1001, dtype=torch.double)
    torch.testing.assert_close(model.process.alpha(t / 1000), alpha, atol=1e-3, rtol=0)
    left = float(alpha[-1].square())
    assert left == pytest.approx(0.35, abs=0.005)  # what ArDiffusionConfig warns of
    usual = small_ar_diffusion(beta_end=0.02).process.alpha(torch.ones(())).square()
    assert float(usual) == pytest.approx(4e-5, rel=0.1)


def test_the_papers_size_can_be_built() -> None:
    with torch.device("meta"):
        net = ArDiT(ArDiTConfig(width=1152, depth=28, heads=16), tokens=32, dim=4, control_dim=20)
        assert net(torch.empty(1, 2, 32, 4), torch.empty(1, 2), torch.empty(1, 2, 20)).shape == (1, 2, 32, 4)
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(675e6, rel=0.01)  # DiT-XL


def test_what_does_not_fit_is_refused_in_a_sentence() -> None:
    model = small_ar_diffusion()
    z, level, actions = _inputs()
    with pytest.raises(DenoiserError, match=r"expected latents \(B, T, 4, 3\), found \(2, 7, 3, 4\)"):
        model(z.transpose(2, 3), level, actions)
    with pytest.raises(DenoiserError, match="one noise level a frame"):
        model(z, level[:, :1], actions)
    with pytest.raises(DenoiserError, match="the action that led to it"):
        model(z, level, actions[:, :1])
    with pytest.raises(DenoiserError, match="causal attention only"):
        small_ar_diffusion(causal=False).denoiser(z, level, actions, None, FrameCache())
    with pytest.raises(DiffusionError, match="prediction: expected x0, eps, v, found 'score'"):
        ArDiffusion(ArDiffusionConfig(prediction="score"))
