"""The backbone of methods: what is kept of a past, sums of actions, several memories over one denoiser."""

from __future__ import annotations

import pytest
import torch

from tests.helpers.small_variant import awake
from worldsim.config import AutoencoderConfig
from worldsim.models.denoisers.forcing_dit import ForcingDiT, ForcingDiTConfig
from worldsim.models.denoisers.protocol import DenoiserError
from worldsim.models.memory.variants.protocol import MemoryVariantConfig, References
from worldsim.models.video_model import VideoModel, VideoModelConfig

WAYS = {"prepend": "joint", "channel": "modulated", "cross_attention": "none"}
B, M, W, C, A = 2, 6, 3, 8, 5


@pytest.fixture
def model() -> VideoModel:
    torch.manual_seed(0)
    config = VideoModelConfig(
        size=32,
        action_dim=A,
        process="rectified_flow",
        prediction="x0",
        denoiser="forcing_dit",
        autoencoder=AutoencoderConfig(C, [8, 8, 16], [8, 8, 16]),
        forcing_dit=ForcingDiTConfig(32, 2, 2),
        memory=MemoryVariantConfig(compressor="joint", travel=True, width=16, depth=1, heads=2),
        more_memories=["channel/modulated", "cross_attention/none"],
    )
    model: VideoModel = awake(VideoModel(config))
    model.action_mean += 0.3
    return model


def _window() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    return (
        torch.randn(B, W, C, 4, 4, generator=g),
        torch.rand(B, W, generator=g),
        torch.randn(B, W, A, generator=g),
    )


def _past(model: VideoModel, rows: list[int] | None = None) -> References:
    """The frames before the window, or some of them."""
    g = torch.Generator().manual_seed(2)
    actions = torch.randn(B, M, A, generator=g)
    latents, level = torch.randn(B, M, C, 4, 4, generator=g), 0.1 * torch.rand(B, M, generator=g)
    valid = torch.ones(B, M, dtype=torch.bool)
    every = References(latents, actions, level, valid, model.past_travel(actions))
    return every if rows is None else every.mapped(lambda x: x[:, rows])


@pytest.mark.parametrize("budget", [0, 4])
def test_what_is_kept_of_a_past_changes_nothing(model: VideoModel, budget: int) -> None:
    """Without a gradient the past is looked at once; with one it stands before the window each time."""
    past = model.compress(_past(model), budget)
    plain = model(*_window(), past).detach()
    assert past.cache is None
    with torch.no_grad():
        first = model(*_window(), past)
        kept = past.cache
        torch.testing.assert_close(first, plain, atol=1e-5, rtol=1e-4)
        assert torch.equal(model(*_window(), past), first) and past.cache is kept


@torch.no_grad()
def test_when_a_frame_was_is_nothing_to_what_time_does_not_turn() -> None:
    z, level, actions = _window()
    now, before = torch.tensor([[0, 1, 2]] * B), torch.tensor([[0, 60, 61]] * B)
    for timeless, same in ((1.0, True), (0.4, False)):
        torch.manual_seed(0)
        network = awake(ForcingDiT(ForcingDiTConfig(32, 2, 2, timeless=timeless), C, (4, 4), A))
        outs = [network(z, level, actions, times=times) for times in (now, before)]
        assert torch.equal(*outs) == same
        assert torch.equal(network(z, level, actions), outs[0])
    with pytest.raises(DenoiserError, match="a share from 0 to 1"):
        ForcingDiTConfig(32, 2, 2, timeless=1.5)


@torch.no_grad()
def test_no_frame_sees_a_later_one_by_its_actions_either(model: VideoModel) -> None:
    z, level, actions = _window()
    for way in WAYS:
        before = model(z, level, actions, _past(model), way)
        other = actions.clone()
        other[:, 2] += 1
        after = model(z, level, other, _past(model), way)
        torch.testing.assert_close(after[:, :2], before[:, :2])
        assert not torch.allclose(after[:, 2], before[:, 2])


@torch.no_grad()
def test_a_reference_is_told_of_actions_that_led_to_frames_between(model: VideoModel) -> None:
    """Which frames lie between the references is seen in their travel alone."""
    z, level, actions = _window()
    for way in WAYS:
        past = _past(model, [0, 2, 5])
        travelled = model(z, level, actions, past, way)
        past = _past(model, [0, 2, 5])
        past.travel = model.past_travel(past.actions)
        assert not torch.allclose(model(z, level, actions, past, way), travelled)


@torch.no_grad()
def test_travel_counts_real_actions_from_the_window_on(model: VideoModel) -> None:
    still = model.normalise(torch.zeros(1, 4, A))
    assert model.travel(still).abs().max() < 1e-5
    raw = torch.randn(1, 4, A)
    both = model.past_travel(model.normalise(raw))
    torch.testing.assert_close(both[:, -1], torch.zeros(1, A))
    torch.testing.assert_close(both[:, 0], -raw[:, 1:].sum(1) / model.action_std)


@torch.no_grad()
def test_each_memory_of_a_model_is_its_own(model: VideoModel) -> None:
    outputs = [model(*_window(), _past(model), way) for way in WAYS]
    assert not torch.allclose(outputs[0], outputs[1]) and not torch.allclose(outputs[1], outputs[2])
    assert torch.equal(model(*_window(), _past(model)), outputs[0]), "the first one where none is named"
    for way, by in WAYS.items():
        assert len(model.compress(_past(model), 4, way)) == 4
        assert {m.way: m.compressor for m in model.config.memories}[way] == by
        nothing = References.none(_window()[0], A)
        torch.testing.assert_close(model(*_window(), nothing, way), model(*_window(), nothing))
    with pytest.raises(KeyError):
        model.memory("telepathy")
