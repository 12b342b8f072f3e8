"""One step of diffusion forcing: what it draws stands for every method and memory."""

from __future__ import annotations

import numpy as np
import torch

from training.objectives.forcing import KINDS, ForcingConfig, Setting, draw, draw_setting

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


def _runs(noisy: np.ndarray) -> list[int]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], noisy.astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist() or [0]
