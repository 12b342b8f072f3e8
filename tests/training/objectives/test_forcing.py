"""One step of diffusion forcing: what it draws stands for every method and memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.helpers.small_model import small_config
from training.data.sequences import Sequence
from training.objectives import redraws
from training.objectives.forcing import KINDS, Forcing, ForcingConfig, Setting, draw, draw_setting
from worldsim.diffusion.process import RectifiedFlow, VariancePreserving
from worldsim.models.denoisers.forcing_dit import ForcingDiTConfig
from worldsim.models.memory.variants.protocol import MemoryVariantConfig
from worldsim.models.video_model import VideoModel, VideoModelConfig

SHAPE = (2, 4, 4)


def test_settings_are_shared_and_turn_every_dial() -> None:
    config = ForcingConfig(thinned=0.0)
    settings = [draw_setting(config, KINDS, 0, i) for i in range(600)]
    assert settings == [draw_setting(config, KINDS, 0, i) for i in range(600)]
    assert {s.kind for s in settings} == set(KINDS)
    assert {s.history for s in settings} == {0, 16, 48, 112}
    assert {s.budget for s in settings if s.kind == "prepend"} == {8, 16, 32, 48}
    assert 0 in {s.budget for s in settings if s.kind == "channel"}
    assert not any(s.budget for s in settings if s.kind == "cross_attention")
    for s in settings:
        assert s.budget <= s.history and s.length <= 128
        on_axis = s.length - s.history + (s.budget if s.kind == "prepend" else 0)
        assert s.batch * on_axis <= config.frames
    assert {draw_setting(config, ("channel",), 0, i).kind for i in range(20)} == {"channel"}


def test_clean_frames_and_windows_take_turns() -> None:
    config, setting = ForcingConfig(), Setting("sequence", 200, 64)
    d = draw(config, setting, torch.Size((200, 64, *SHAPE)), 0, 0, 0)
    assert d.noise.abs().max() <= config.noise_clip
    assert float(d.level[d.context].max()) <= config.context
    assert float(d.level.min()) >= 0 and float(d.level.max()) == 1
    share = float((~d.context).float().mean())
    assert 0.3 < share < 0.8, "enough of both"
    runs = [_runs(row) for row in (~d.context).numpy()]
    assert max(max(r) for r in runs) <= config.window
    begin = float((~d.context[:, 0]).float().mean())
    assert 0.02 < begin < 0.2, "some begin without a past"
    assert not d.soft[~d.context].any() and bool(d.soft.any())


def test_a_window_after_a_past_is_as_long_as_asked() -> None:
    config, setting = ForcingConfig(), Setting("channel", 3, 64, 48, 16)
    d = draw(config, setting, torch.Size((3, 64, *SHAPE)), 0, 0, 0)
    assert bool(d.context[:, :48].all()) and not d.context[:, 48:].any()
    again = draw(config, setting, torch.Size((3, 64, *SHAPE)), 0, 0, 0)
    assert all(torch.equal(a, b) for a, b in zip(vars(d).values(), vars(again).values(), strict=True))
    other = draw(config, setting, torch.Size((3, 64, *SHAPE)), 0, 0, 1)
    assert not torch.equal(d.noise, other.noise), "processes draw their own"


def test_a_thinned_sequence_reaches_far_and_asks_for_its_end_alone() -> None:
    config = ForcingConfig(thinned=1.0)
    settings = [s for s in (draw_setting(config, KINDS, 0, i) for i in range(60)) if s.kind == "sequence"]
    assert {s.length for s in settings} == set(config.spans) and all(s.kept == config.kept for s in settings)
    assert all(s.batch * s.kept <= config.frames for s in settings)
    some = settings[0]
    d = draw(config, some, torch.Size((some.batch, some.kept, *SHAPE)), 0, 0, 0)
    assert bool(d.context[:, : some.kept - some.last].all()) and not bool(d.context.all(1).any())


def test_redrawn_sequences_begin_with_true_frames() -> None:
    config = ForcingConfig(redrawn=1.0)
    settings = [draw_setting(config, KINDS, 0, i) for i in range(100)]
    assert {s.redraws for s in settings if s.kind == "sequence"} == {1, 2}
    assert not any(s.redraws for s in settings if s.kind != "sequence")
    with pytest.raises(ValueError, match=r"found redrawn=.* and redraws=0"):
        ForcingConfig(redrawn=0.4, redraws=0)
    assert not any(draw_setting(ForcingConfig(), KINDS, 0, i).redraws for i in range(100)), "unless asked for"
    setting = Setting("sequence", 100, 48, redraws=2)
    d = draw(config, setting, torch.Size((100, 48, *SHAPE)), 0, 0, 0)
    assert d.start.shape == (2, 100, 48) and d.other.shape == (2, 100, 48, *SHAPE) and not d.soft.any()
    drawn = d.start > 0
    assert bool((drawn[:, :, :-1] <= drawn[:, :, 1:]).all()), "after the first, all"
    stay = 48 - drawn[0].sum(1)
    assert int(stay.min()) == 0 and int(stay.max()) == 48 - config.window
    steps = d.start[drawn] / redraws.STEP
    assert set(steps.tolist()) == {1.0, 2.0, 3.0}


def test_a_model_is_shown_what_it_drew_and_asked_for_the_truth() -> None:
    """One that has learned nothing draws grey."""
    config = VideoModelConfig(
        size=32,
        action_dim=3,
        process="rectified_flow",
        prediction="x0",
        denoiser="forcing_dit",
        forcing_dit=ForcingDiTConfig(width=32, depth=1, heads=2),
        causal=True,
        autoencoder=small_config().autoencoder,
        memory=MemoryVariantConfig(compressor="joint", width=16, depth=1, heads=2, travel=True),
    )
    objective = Forcing(VideoModel(config), ForcingConfig(context=0.0))
    shown: list[torch.Tensor] = []
    objective.model.denoiser.register_forward_pre_hook(lambda _, given: shown.append(given[0]))
    g = torch.Generator().manual_seed(0)
    z = torch.randn(6, 32, config.autoencoder.channels, 4, 4, generator=g)
    setting = Setting("sequence", 6, 32, redraws=2)
    d = draw(objective.config, setting, z.shape, 0, 0, 0)
    losses = objective(Sequence(z, torch.randn(6, 32, 3, generator=g)), setting, d)
    assert len(shown) == 2 * redraws.STEPS + 1
    drawn, seen = d.start[0] > 0, shown[-1]
    assert bool((drawn & d.context).any()) and bool((~drawn & d.context).any())
    assert not seen[drawn & d.context].any(), "its own"
    torch.testing.assert_close(seen[~drawn & d.context], z[~drawn & d.context])
    noisy = ~d.context
    level = d.level[noisy][:, None, None, None]
    torch.testing.assert_close(seen[noisy], (1 - level) * z[noisy] + level * d.noise[noisy])
    assert float(losses["sequence"]) == pytest.approx(float(z[d.level > 0.5].square().mean()), rel=1e-4)


@pytest.mark.parametrize("process", [RectifiedFlow(), VariancePreserving()])
def test_who_knows_the_truth_draws_it(process: RectifiedFlow | VariancePreserving) -> None:
    z, noise = torch.randn(2, 5, *SHAPE), torch.randn(2, 5, *SHAPE)
    level = torch.tensor([[0, 0, 0.25, 0.5, 0.75], [0.75] * 5])
    drawn = redraws.drawn_anew(process, lambda now, at: z, z, level, noise)
    torch.testing.assert_close(drawn, z, atol=1e-4, rtol=1e-4)


def _runs(noisy: np.ndarray) -> list[int]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], noisy.astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist() or [0]
