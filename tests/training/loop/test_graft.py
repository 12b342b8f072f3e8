"""A denoiser that is begun from another autoencoder's says the same of the same frames, in its own numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.helpers.small_ar_diffusion import SMALL_VAE
from tests.helpers.small_run import record
from tests.helpers.small_variant import awake
from tests.helpers.small_video import small_video
from training.data.episodes import DataError, open_episodes
from training.loop.graft import graft
from worldsim.config import ArVaeConfig
from worldsim.frames import to_tensor
from worldsim.models.ar_diffusion import ArDiffusion, ArDiffusionConfig
from worldsim.models.denoisers.forcing_dit import ForcingDiTConfig

SIZES = ForcingDiTConfig(width=16, depth=2, heads=2, timeless=0.5)


@pytest.fixture(scope="module")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return open_episodes(record(tmp_path_factory.mktemp("data"), steps=40))


def _other() -> Any:
    other = small_video(denoiser="forcing_dit", forcing_dit=SIZES, process="rectified_flow", prediction="x0")
    awake(other.model.denoiser)
    return other


def _model(**fields: Any) -> ArDiffusion:
    torch.manual_seed(1)
    vae = ArVaeConfig(**{**vars(SMALL_VAE), "tokens": 4, "dim": 32})
    given = {
        "process": "rectified_flow",
        "scale": 1.0,
        "backbone": "forcing_dit",
        "forcing_dit": SIZES,
        **fields,
    }
    return ArDiffusion(ArDiffusionConfig(action_dim=20, autoencoder=vae, **given)).eval()


def test_it_says_the_same_in_its_own_numbers(episodes: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its latents are a linear map of the other's, it is the other, exactly."""
    other, model = _other(), _model()
    torch.manual_seed(2)
    weights, bias = torch.linalg.qr(torch.randn(32, 32))[0], torch.randn(32)

    def tokens(frames: np.ndarray) -> torch.Tensor:
        return F.pixel_unshuffle(other.encode(frames), 2).flatten(2).transpose(1, 2)

    def encode(x: torch.Tensor) -> torch.Tensor:
        frames = ((x.permute(0, 2, 3, 1) + 1) * 127.5).round().byte().numpy()
        return tokens(frames) @ weights.T + bias

    monkeypatch.setattr(model.autoencoder, "encode", encode)
    shares = graft(model, other, episodes)
    assert min(shares.values()) > 0.999
    frames = episodes[0].frames(3, 8)
    level, actions = torch.rand(1, 5), torch.randn(1, 5, 20)
    with torch.no_grad():
        theirs = other.model.denoiser(other.encode(frames)[None], level, actions)[0]
        said = F.pixel_unshuffle(theirs, 2).flatten(2).transpose(1, 2) @ weights.T + bias
        mine = model(encode(to_tensor(frames))[None], level, actions)[0]
    torch.testing.assert_close(mine, said, atol=2e-3, rtol=1e-3)
    assert torch.equal(model.action_std, other.model.action_std)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"backbone": "ar_dit"}, "expected model.backbone=forcing_dit"),
        ({"process": "vp_linear"}, "model.process=rectified_flow"),
        ({"forcing_dit": ForcingDiTConfig(width=24, depth=2, heads=2)}, "the sizes and as many tokens"),
    ],
)
def test_what_does_not_fit_is_refused(episodes: list[Any], fields: dict[str, Any], why: str) -> None:
    with pytest.raises(DataError, match=why):
        graft(_model(**fields), _other(), episodes)
