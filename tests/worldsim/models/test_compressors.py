"""Compressors: the last B are kept, older frames live on in them, and training starts from the frames themselves."""

import pytest
import torch

from tests.helpers.small_variant import ACTIONS, CHANNELS, GRID, awake, past
from worldsim.models.memory.variants.protocol import MemoryVariantConfig, MemoryVariantError, compress
from worldsim.models.memory.variants.registry import compressor_from

WAY_OF = {"none": "prepend", "joint": "prepend", "modulated": "channel"}
every_compressor = pytest.mark.parametrize("name", WAY_OF)
every_small_transformer = pytest.mark.parametrize("name", ["joint", "modulated"])


def _compressor(name: str):  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    config = MemoryVariantConfig(WAY_OF[name], name, width=16, depth=2, heads=2, patch=2)
    return compressor_from(config, CHANNELS, ACTIONS, GRID)


@torch.no_grad()
@every_compressor
@pytest.mark.parametrize(("history", "budget"), [(0, 8), (1, 8), (6, 2), (48, 16), (112, 48)])
def test_at_most_the_budget_of_frames_and_actions_comes_out(name: str, history: int, budget: int) -> None:
    whole = past(history)
    kept = compress(awake(_compressor(name)), whole, budget)
    count = min(history, budget)
    assert kept.latents.shape == (2, count, CHANNELS, *GRID)
    assert kept.actions.shape == (2, count, ACTIONS)
    assert torch.equal(kept.level, whole.level[:, history - count :])
    assert kept.valid.shape == (2, count)


@torch.no_grad()
@every_compressor
def test_training_starts_from_the_last_frames_and_actions(name: str) -> None:
    whole = past(6)
    kept = compress(_compressor(name), whole, 2)
    assert torch.equal(kept.latents, whole.latents[:, 4:])
    assert torch.equal(kept.actions, whole.actions[:, 4:])


@torch.no_grad()
@every_small_transformer
@pytest.mark.parametrize("field", ["latents", "actions"])
def test_what_is_older_than_the_kept_frames_lives_on_in_them(name: str, field: str) -> None:
    by = awake(_compressor(name))
    before = compress(by, past(6), 2)
    changed = past(6)
    getattr(changed, field)[:, 0] += 1
    after = compress(by, changed, 2)
    assert (before.latents != after.latents).flatten(2).any(2).all()
    if name == "joint":
        assert (before.actions != after.actions).any(2).all()
    else:
        assert torch.equal(before.actions, after.actions)


@torch.no_grad()
@every_compressor
@pytest.mark.parametrize("budget", [1, 4])
def test_the_kept_frames_are_the_last_of_the_whole_computation(name: str, budget: int) -> None:
    by = awake(_compressor(name))
    everything, kept = compress(by, past(6), 6), compress(by, past(6), budget)
    torch.testing.assert_close(kept.latents, everything.latents[:, -budget:], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(kept.actions, everything.actions[:, -budget:], atol=1e-5, rtol=1e-4)


@torch.no_grad()
@every_small_transformer
def test_the_order_of_the_older_frames_matters(name: str) -> None:
    by = awake(_compressor(name))
    whole, swapped = past(6), past(6)
    for x in (swapped.latents, swapped.actions):
        x[:, :4] = x[:, :4].flip(1)
    assert not torch.allclose(compress(by, whole, 2).latents, compress(by, swapped, 2).latents, atol=1e-4)


@every_small_transformer
def test_gradient_reaches_every_parameter(name: str) -> None:
    by = awake(_compressor(name))
    kept = compress(by, past(6), 2)
    (kept.latents.square().mean() + kept.actions.square().mean()).backward()
    assert [n for n, p in by.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(MemoryVariantError, match="at least 1 latent, found 0"):
        compress(_compressor("none"), past(3), 0)
