"""A denoiser over one autoencoder's latents that begins as one over another's: the best linear map between both.

Both see a frame as the same grid of tokens, only in other numbers. Where each token of one is about a linear map of
that of the other, a trained transformer needs just another first and last layer.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from envs.episodes.episode import Episode
from training.data.episodes import DataError
from training.data.frames import RandomFrames
from worldsim.checkpoint import Loaded
from worldsim.frames import to_tensor
from worldsim.models.ar_diffusion import ArDiffusion
from worldsim.models.denoisers.forcing_dit import ForcingDiT
from worldsim.models.denoisers.forcing_tokens import ForcingTokens
from worldsim.models.video_model import VideoModel

FRAMES = 1024


@torch.no_grad()
def graft(
    model: ArDiffusion, other: Loaded[VideoModel], episodes: list[Episode], seed: int = 0
) -> dict[str, float]:
    """Begin the denoiser of ``model``, which has its autoencoder already, as that of ``other``.

    Returns:
        the shares of the variance that the maps explain, of ``other``'s latents and of the model's.

    Raises:
        DataError: other blocks, another grid of tokens or another process.
    """
    mine, theirs = model.denoiser, other.model.denoiser
    if not isinstance(mine, ForcingTokens) or not isinstance(theirs, ForcingDiT):
        raise DataError(
            "init: expected model.backbone=forcing_dit and a video model with denoiser forcing_dit"
        )
    if (
        model.config.process != other.model.config.process
        or model.config.prediction != other.model.config.prediction
    ):
        raise DataError(
            f"init: expected model.process={other.model.config.process} and "
            f"model.prediction={other.model.config.prediction}, as the model has that is begun from"
        )
    state, given = mine.network.state_dict(), theirs.state_dict()
    names = [name for name in state if name in given and not name.startswith("token_")]
    if theirs.tokens != mine.tokens or any(state[n].shape != given[n].shape for n in names):
        raise DataError(
            "init: expected the sizes and as many tokens a frame as the model has that is begun from"
        )
    frames = RandomFrames(episodes).batch(FRAMES, np.random.default_rng(seed))
    x = model.autoencoder.encode(to_tensor(frames)) * model.config.scale  # (n, L, D)
    y = (
        F.pixel_unshuffle(other.encode(frames), theirs.config.patch).flatten(2).transpose(1, 2)
    )  # (n, L, C p p)
    there, there_bias, there_share = _map(x.flatten(0, 1), y.flatten(0, 1))
    back, back_bias, back_share = _map(y.flatten(0, 1), x.flatten(0, 1))
    columns = given["token_in.weight"][:, : y.shape[2]]  # latents come before what memory puts beside them
    state |= {name: given[name] for name in names}
    state["token_in.weight"] = columns @ there
    state["token_in.bias"] = given["token_in.bias"] + columns @ there_bias
    state["token_out.weight"] = back @ given["token_out.weight"]
    state["token_out.bias"] = back @ given["token_out.bias"] + back_bias
    mine.network.load_state_dict(state)
    model.action_mean.copy_(other.model.action_mean)
    model.action_std.copy_(other.model.action_std)
    return {"there": round(there_share, 4), "back": round(back_share, 4)}


def _map(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, float]:
    """Weights (E, D) and biases (E,) by which x (n, D) best gives y (n, E), and the share of its variance."""
    x_mean, y_mean = x.mean(0), y.mean(0)
    weights = torch.linalg.lstsq(x - x_mean, y - y_mean).solution.T
    left = (y - y_mean - (x - x_mean) @ weights.T).square().mean()
    return weights, y_mean - weights @ x_mean, float(1 - left / (y - y_mean).square().mean())
