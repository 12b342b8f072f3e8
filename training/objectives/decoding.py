"""What a decoder is asked for: the true picture, what networks of pictures see in it, and patches that look real.

The decoder of a convolutional autoencoder, or of a tokenizer, whose latents are tokens. L1 and SSIM alone are content
with a blur where latents do not say what a surface looks like. Latents are a little wrong in training, blurred and with
noise, as those are that were made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.objectives.generation import blurred
from training.objectives.image_loss import image_loss
from training.objectives.patch_discriminator import FeatureDiscriminator, PatchDiscriminator, hinge
from worldsim.diffusion.process import per_frame
from worldsim.metrics.networks.lpips import Lpips
from worldsim.models.autoencoders.ar_vae import ArVae
from worldsim.models.autoencoders.conv import DOWNSAMPLING, ConvAutoencoder, enlarged

SECOND = "superresolution."


@dataclass
class DecodingConfig:
    """Weights beside L1: of 1 - SSIM, of LPIPS (Zhang et al. 2018) over ``backbone``, and of two discriminators, of
    patches of pixels (Isola et al. 2017) and of the backbone's features (Sauer et al. 2021), which begin after
    ``head_start`` steps; ``noise`` and ``blur``: most that latents are disturbed by, each drawn anew for every picture.

    ``pattern`` is the weight of what is wrong at the same place of every latent's square of pixels: convolutions that
    draw many pixels from one place leave a weave that no other loss minds.

    The backbone sees ``window`` pixels a side of a picture, somewhere else in every step: what lay at the same place
    always, a network with strides would leave room for a pattern.

    ``weave`` is the weight of what repeats every few pixels in a neighbourhood of what the second head draws: from
    latents of true frames that its errors have it, and from latents that a generator made up that anything does which
    it adds. ``second_only``: nothing but the second head learns, so that small pictures stay what they are, to the bit.
    """

    ssim: float = 0.25
    lpips: float = 1.0
    backbone: str = "vgg"
    window: int = 56
    pattern: float = 2.0
    weave: float = 0.0
    second_only: bool = False
    adversarial: float = 0.03
    features: float = 0.03
    head_start: int = 200
    noise: float = 0.2
    blur: float = 0.5


def let_learn(module: nn.Module, names: tuple[str, ...]) -> None:
    """Leave every weight as it is but those whose names begin with one of ``names``."""
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name.startswith(names))


class Decoding(nn.Module):
    """A decoder with its losses, and discriminators for each of its heads, the first of which draws ``side`` pixels;
    ``widths``: channels of what the perceptual network compares, if there is one. ``forward`` is what a distributed
    launcher wraps."""

    def __init__(
        self,
        autoencoder: ConvAutoencoder | ArVae,
        config: DecodingConfig,
        side: int,
        widths: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.autoencoder, self.config, self.side = autoencoder, config, side
        let_learn(autoencoder, (SECOND,) if config.second_only else autoencoder.DRAWING)
        if isinstance(autoencoder, ArVae):
            self.period, heads = autoencoder.config.patch, 1
        else:
            self.period, heads = DOWNSAMPLING, 1 + autoencoder.config.superresolution
        self.discriminators = nn.ModuleList(PatchDiscriminator() for _ in range(heads))
        self.feature_discriminators = nn.ModuleList(
            FeatureDiscriminator(widths[1:]) for _ in range(heads if widths else 0)
        )

    def disturbed(self, z: Tensor, noise: Tensor, amounts: Tensor) -> Tensor:
        """Latents (N, ...) with unit noise of their shape, by amounts (N, 2) in [0, 1] of both disturbances; tokens are
        not blurred."""
        blur, grain = (amounts * amounts.new_tensor([self.config.blur, self.config.noise])).T
        if z.ndim == 4:
            z = torch.lerp(z, blurred(z[None])[0], per_frame(blur, z))
        return z + per_frame(grain, z) * noise

    def forward(
        self,
        x: Tensor,
        z: Tensor,
        noise: Tensor,
        amounts: Tensor,
        corner: tuple[float, float],
        perceptual: Lpips | None,
        judged: bool,
        dreamt: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Frames (N, 3, H, W) in [-1, 1] and their latents (N, ...) to the losses; ``judged``: by the
        discriminators too; ``corner``: of the window, in shares of the room that there is; ``dreamt``: latents
        (M, C, h, w) that were made up, for the second head. Of frames of twice the side both heads are asked for what
        they draw.
        """
        z = self.disturbed(z, noise, amounts)
        if isinstance(self.autoencoder, ArVae) or x.shape[-1] == self.side:
            return self.losses(
                pictures(self.autoencoder, z, self.side).float(), x, corner, perceptual, judged
            )
        small, large = (y.float() for y in self.autoencoder.decode_both(z))
        woven, made_up = weave(large - x), None
        if dreamt is not None:
            below, made_up = (y.float() for y in self.autoencoder.decode_both(dreamt))
            woven = woven + weave(made_up - enlarged(below))
        found = self.losses(large, x, corner, perceptual, judged, made_up)
        found |= {"weave": woven, "loss": found["loss"] + self.config.weave * woven}
        if self.config.second_only:
            return found
        first = self.losses(small, F.avg_pool2d(x, 2), corner, perceptual, judged)
        of_small = {f"{name}_small": value for name, value in first.items()}
        return of_small | found | {"loss": (first["loss"] + found["loss"]) / 2}

    def losses(
        self,
        y: Tensor,
        x: Tensor,
        corner: tuple[float, float],
        perceptual: Lpips | None,
        judged: bool,
        made_up: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Of drawn and true frames (N, 3, H, W), and of made-up ones (M, 3, H, W), which have discriminators alone to
        please."""
        c, head = self.config, int(y.shape[-1] > self.side)
        fakes = y if made_up is None else torch.cat([y, made_up])
        loss, pixels, similar = image_loss(y, x, c.ssim)
        losses = {"l1": pixels, "ssim": similar, "pattern": pattern(y - x, self.period << head)}
        loss = loss + c.pattern * losses["pattern"]
        if judged:
            adversarial, discriminating = hinge(self.discriminators[head], x, fakes)
            loss = loss + c.adversarial * adversarial + discriminating
            losses |= {"adversarial": adversarial, "discriminator": discriminating}
        if perceptual is None:
            return {"loss": loss, **losses}
        drawn = perceptual.features(window(fakes if judged else y, c.window, corner))
        with torch.no_grad():
            true = perceptual.features(window(x, c.window, corner))
        losses["lpips"] = perceptual.between([f[: len(y)] for f in drawn], true).mean()
        loss = loss + c.lpips * losses["lpips"]
        if judged:
            adversarial, discriminating = hinge(self.feature_discriminators[head], true[1:], drawn[1:])
            loss = loss + c.features * adversarial + discriminating
            losses |= {"adversarial_features": adversarial, "discriminator_features": discriminating}
        return {"loss": loss, **losses}


def pictures(autoencoder: ConvAutoencoder | ArVae, z: Tensor, side: int) -> Tensor:
    """What latents (N, ...) show, each on its own, by the head for ``side`` pixels if there are two: (N, 3, H, W)."""
    if isinstance(autoencoder, ArVae):
        return autoencoder.decode(z[:, None], causal=False)[:, 0]
    return autoencoder.decode_for(z, side)


def window(x: Tensor, side: int, corner: tuple[float, float]) -> Tensor:
    """``side`` pixels of pictures (N, 3, H, W), or all that there are, from a corner on in shares of the room left."""
    top, left = (int(at * (max(size - side, 0) + 1)) for at, size in zip(corner, x.shape[-2:], strict=True))
    return x[..., top : top + side, left : left + side]


def pattern(wrong: Tensor, period: int) -> Tensor:
    """The mean absolute value of what errors (N, 3, H, W) have in common over all squares of ``period`` pixels."""
    squares = wrong.unflatten(-1, (-1, period)).unflatten(-3, (-1, period))
    return squares.mean((-4, -2)).abs().mean()


PERIOD, NEIGHBOURHOOD = 4, 8  # pixels of a square that two layers of PixelShuffle draw; squares a side


def weave(x: Tensor) -> Tensor:
    """The energy of what squares of ``PERIOD`` pixels have in common, in neighbourhoods of pictures (N, 3, H, W)."""
    squares = x.unflatten(-1, (-1, PERIOD)).unflatten(-3, (-1, PERIOD))
    places = squares.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)
    common = F.avg_pool2d(places, min(NEIGHBOURHOOD, places.shape[-1]), NEIGHBOURHOOD // 2)
    common = common.unflatten(1, (x.shape[1], -1))
    return (common - common.mean(2, keepdim=True)).square().mean()
