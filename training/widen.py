"""More channels for a trained autoencoder, whose present latents stay as they are.

What was trained over the present latents keeps its worth: it is given the new channels beside them, with weights of
zero. The new ones begin as the principal components of what the present decoder leaves out, as far as a linear map of
the encoder's last features and the pixels gives them (:func:`widen`); :func:`over` is a world model over the wider latents
that draws what it drew, with the new channels at zero.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.autoencoders.conv import DOWNSAMPLING, ConvAutoencoder
from worldsim.config import AutoencoderConfig, ConfigError
from worldsim.world_model import WorldModel


def _rows(x: Tensor) -> Tensor:
    """(N, C, h, w) to (N h w, C)."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)


@torch.no_grad()
def widen(old: ConvAutoencoder, config: AutoencoderConfig, frames: Tensor) -> ConvAutoencoder:
    """An autoencoder of ``config``, its first channels and their picture those of ``old``.

    Args:
        old: a trained one, of fewer channels and else of the same widths; frames: (N, 3, H, W) in [-1, 1] to fit
            the new channels on, a few hundred.

    Raises:
        ConfigError: a ``config`` of other widths, without the straight path, or of no more channels.
    """
    had = len(old.scale)
    add = config.channels - had
    shapes = {k: v.shape for k, v in ConvAutoencoder(replace(config, channels=had)).state_dict().items()}
    if add <= 0 or not config.straight or any(shapes.get(k) != v.shape for k, v in old.state_dict().items()):
        raise ConfigError(
            f"init= needs the same widths, more than {had} channels and autoencoder.straight=true"
        )
    new = ConvAutoencoder(config)
    assert new.to_latents is not None and new.to_pixels is not None
    nn.init.zeros_(new.to_latents.weight)
    nn.init.zeros_(new.to_pixels.weight)
    for name, value in new.state_dict().items():
        held = old.state_dict().get(name)
        if held is None:
            continue
        value.zero_()
        value[tuple(slice(n) for n in held.shape)] = held
    parts = frames.split(64)
    left = torch.cat([x - old.decode(old.encode(x)) for x in parts])
    features = torch.cat([_rows(old.encoder[:-1](x)) for x in parts])
    pixels = _rows(F.pixel_unshuffle(frames, DOWNSAMPLING))
    missing = _rows(F.pixel_unshuffle(left, DOWNSAMPLING))
    missing = missing - missing.mean(0)
    basis = torch.linalg.eigh(missing.T @ missing).eigenvectors.flip(1)[:, :add]  # (192, add)
    known = torch.cat([features, pixels, torch.ones(len(pixels), 1)], 1)
    fit = torch.linalg.lstsq(known, missing @ basis).solution
    found = known @ fit
    back = torch.linalg.lstsq(found, missing).solution  # (add, 192)
    last = new.encoder[-1]
    assert isinstance(last, nn.Conv2d) and last.bias is not None
    n = features.shape[1]
    last.weight[had:, :, 0, 0] = fit[:n].T
    last.bias[had:] = fit[-1]
    new.to_latents.weight[had:] = fit[n:-1].T.reshape(add, 3, DOWNSAMPLING, DOWNSAMPLING)
    new.to_pixels.weight[had:] = back.reshape(add, 3, DOWNSAMPLING, DOWNSAMPLING)
    new.scale[had:] = found.std(0)
    return new


class Held:
    """The channels and the features below them that a widened autoencoder must not change while it is trained."""

    def __init__(self, autoencoder: ConvAutoencoder, channels: int) -> None:
        self.autoencoder, self.channels = autoencoder, channels
        self.rows = [x.detach()[:channels].clone() for x in self._tensors()]
        for parameter in autoencoder.encoder[:-1].parameters():
            parameter.requires_grad_(False)

    def _tensors(self) -> list[Tensor]:
        last, straight = self.autoencoder.encoder[-1], self.autoencoder.to_latents
        assert isinstance(last, nn.Conv2d) and last.bias is not None and straight is not None
        return [last.weight, last.bias, straight.weight, self.autoencoder.scale]

    @torch.no_grad()
    def restore(self) -> None:
        """Put the held rows back where the optimizer moved them."""
        for tensor, rows in zip(self._tensors(), self.rows, strict=True):
            tensor[: self.channels] = rows


@torch.no_grad()
def over(model: WorldModel, autoencoder: ConvAutoencoder, config: AutoencoderConfig) -> WorldModel:
    """A copy of the model over an autoencoder of as many channels or more, whose first ones mean what its own mean.

    Nothing looks at the other channels yet and they are drawn as zero, their mean.

    Raises:
        ConfigError: an autoencoder of fewer channels.
    """
    had, now = len(model.autoencoder.scale), config.channels
    if now < had:
        raise ConfigError(f"an autoencoder of {now} channels cannot take the place of one of {had}")
    wide = WorldModel(replace(deepcopy(model.config), autoencoder=config))
    extra, cells = model.denoiser.extra - had, model.denoiser.patch**2
    latents = torch.arange(had)
    drawn = torch.cat([latents, now + torch.arange(extra)])  # the guess, then features
    shown = torch.cat([latents, now + drawn])  # beside the noisy latents
    # Which rows or columns of the wide weights the narrow ones are.
    places = {
        "frame_encoder.net.0.weight": (1, latents),
        "frame_encoder.skip.weight": (1, latents),
        "odometry.see.0.weight": (1, latents),
        "reader.out.weight": (0, drawn),
        "reader.out.bias": (0, drawn),
        "denoiser.inside.weight": (1, _of_patches(shown, cells)),
        "denoiser.outside.weight": (0, _of_patches(latents, cells)),
        "denoiser.outside.bias": (0, _of_patches(latents, cells)),
    }
    weights = wide.state_dict()
    for name, value in model.state_dict().items():
        if name in places:
            axis, index = places[name]
            weights[name] = torch.zeros_like(weights[name]).index_copy(axis, index, value)
        elif not name.startswith("autoencoder."):
            weights[name] = value
    wide.load_state_dict(weights)
    wide.autoencoder = deepcopy(autoencoder)
    return wide


def _of_patches(channels: Tensor, cells: int) -> Tensor:
    """Channels as rows of a patch, whose every channel has ``cells`` cells that follow one another."""
    return (channels[:, None] * cells + torch.arange(cells)).flatten()
